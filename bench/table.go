package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

var inf = math.Inf(1)

// row is what was measured of one thing, once a round.
type row[M any] struct {
	name   string // for -only, and to find it
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
		values := sorted(rounds, value)
		low, high := format(values[0]), format(values[len(values)-1])
		if low == high {
			return low
		}
		return fmt.Sprintf("%s (%s..%s)", format(middle(values)), low, high)
	}}
}

func sorted[M any](rounds []M, value func(M) float64) (values []float64) {
	for _, m := range rounds {
		values = append(values, value(m))
	}
	slices.Sort(values)
	return values
}

// middle and largest are those of sorted values, NaN of none.
func middle(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

func largest(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return values[len(values)-1]
}

// valuesOf are those of the rounds of the row of that name, sorted; none where
// there is no such row.
func valuesOf[M any](rows []row[M], name string, value func(M) float64) []float64 {
	for _, r := range rows {
		if r.name == name {
			return sorted(r.rounds, value)
		}
	}
	return nil
}

// printTable prints rows under a heading, as a Markdown table whose columns
// stand under each other. Without rows it prints nothing.
func printTable[M any](w io.Writer, heading string, labels []string, columns []column[M], rows []row[M]) {
	if len(rows) == 0 {
		return
	}
	titles := slices.Clone(labels)
	for _, c := range columns {
		titles = append(titles, c.title)
	}
	cells := [][]string{titles}
	for _, r := range rows {
		line := slices.Clone(r.labels)
		for _, c := range columns {
			line = append(line, c.cell(r.rounds))
		}
		cells = append(cells, line)
	}
	fmt.Fprintf(w, "\n%s\n\n", heading)
	printCells(w, cells)
}

// printCells prints a Markdown table; the first line are its titles.
func printCells(w io.Writer, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			line[i] = strings.ReplaceAll(cell, "|", `\|`)
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i]))
		}
	}
	rule := make([]string, len(widths))
	for i, n := range widths {
		rule[i] = strings.Repeat("-", n)
	}
	for _, line := range slices.Insert(slices.Clone(lines), 1, rule) {
		for i, cell := range line {
			fmt.Fprintf(w, "| %-*s ", widths[i], cell)
		}
		fmt.Fprintln(w, "|")
	}
}

// digits formats with a fixed number of digits after the point.
func digits(n int) func(float64) string {
	return func(v float64) string {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "–"
		}
		return fmt.Sprintf("%.*f", n, v)
	}
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
