package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is what was measured of one thing, once a round.
type row[M any] struct {
	labels []string
	rounds []M
}

// column turns the rounds of a row into a cell.
type column[M any] struct {
	title string
	cell  func(rounds []M) string
}

// spread is a column of the median of a value, beside it the least and the
// most where they look different.
func spread[M any](title string, format func(float64) string, value func(M) float64) column[M] {
	return column[M]{title, func(rounds []M) string {
		var values []float64
		for _, m := range rounds {
			values = append(values, value(m))
		}
		slices.Sort(values)
		n := len(values)
		low, high := format(values[0]), format(values[n-1])
		median := format((values[(n-1)/2] + values[n/2]) / 2)
		if low == high {
			return median
		}
		return fmt.Sprintf("%s (%s..%s)", median, low, high)
	}}
}

// printTable prints rows under the titles of their labels and of the columns.
func printTable[M any](w io.Writer, labels []string, columns []column[M], rows []row[M]) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	titles := slices.Clone(labels)
	for _, c := range columns {
		titles = append(titles, c.title)
	}
	fmt.Fprintln(tw, strings.Join(titles, "\t"))
	for _, r := range rows {
		cells := slices.Clone(r.labels)
		for _, c := range columns {
			cells = append(cells, c.cell(r.rounds))
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

// digits formats with a fixed number of digits after the point.
func digits(n int) func(float64) string {
	return func(v float64) string { return fmt.Sprintf("%.*f", n, v) }
}

// short formats a count with a suffix and at most four digits: 7, 49.9k, 1.523M.
func short(v float64) string {
	suffix := ""
	switch {
	case v >= 1e6:
		v, suffix = v/1e6, "M"
	case v >= 1e3:
		v, suffix = v/1e3, "k"
	}
	return fmt.Sprintf("%.4g%s", math.Round(v*1e3)/1e3, suffix)
}
