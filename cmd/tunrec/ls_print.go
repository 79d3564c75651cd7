package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/catalog"
)

// printListTable prints the files and, below several of them, their sum.
func printListTable(w io.Writer, files []catalog.File) {
	rows := [][]string{{"NAME", "FIRST", "DURATION", "PACKETS", "DROPS", "SIZE", "STATE"}}
	sum, states := capfile.Info{}, map[catalog.State]int{}
	for _, f := range files {
		i := &f.Info
		rows = append(rows, listRow(printable(f.Name), i, string(f.State)))
		states[f.State]++
		if i.Packets > 0 {
			if sum.Packets == 0 {
				sum.First, sum.Last = i.First, i.Last
			}
			sum.First, sum.Last = min(sum.First, i.First), max(sum.Last, i.Last)
		}
		sum.Packets += i.Packets
		sum.Statistics.Dropped += i.Statistics.Dropped
		sum.Size += i.Size
	}
	if len(files) != 1 {
		var incomplete []string
		for _, s := range []catalog.State{catalog.Open, catalog.CutShort, catalog.Damaged} {
			if states[s] > 0 {
				incomplete = append(incomplete, fmt.Sprintf("%d %s", states[s], s))
			}
		}
		rows = append(rows, listRow(count(uint64(len(files)))+" files", &sum, strings.Join(incomplete, ", ")))
	}
	printColumns(w, rows)
}

func listRow(name string, i *capfile.Info, state string) []string {
	first, duration := "-", "-"
	if i.Packets > 0 {
		first = time.Unix(0, i.First).Format(time.DateTime)
		duration = shortDuration(time.Duration(i.Last - i.First))
	}
	return []string{name, first, duration, count(i.Packets), count(i.Statistics.Dropped), humanize.IBytes(uint64(i.Size)), state}
}

// printColumns aligns the columns: the first and the last one to the left.
func printColumns(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		last := len(row) - 1
		for i, cell := range row[1:last] {
			line += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line+"  "+row[last], " "))
	}
}

// shortDuration writes a duration with two units at most: 820ms, 12.3s, 4m5s,
// 23h59m, 12d3h.
func shortDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	d = d.Round(time.Hour)
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// printable quotes a name that would do something to a terminal.
func printable(name string) string {
	if isHarmless(name) {
		return name
	}
	return strconv.Quote(name)
}

// listLine is what --json says of a file; its names are those of the events
// that a recording prints.
type listLine struct {
	File        string        `json:"file"`
	State       catalog.State `json:"state"`
	First       string        `json:"first,omitempty"` // RFC 3339
	Last        string        `json:"last,omitempty"`
	Packets     uint64        `json:"packets"`
	Dropped     uint64        `json:"dropped"`
	Bytes       uint64        `json:"bytes"` // lengths of the packets on the wire
	BytesOnDisk int64         `json:"bytes_on_disk"`
	Chunks      uint64        `json:"chunks"`
	Interface   string        `json:"interface,omitempty"`
	Filter      string        `json:"filter,omitempty"`
	Comment     string        `json:"comment,omitempty"`
	Damage      string        `json:"damage,omitempty"`
}

func printListJSON(w io.Writer, files []catalog.File) {
	for _, f := range files {
		printJSON(w, newListLine(&f)) // strings and numbers; the error of writing is Flush's
	}
}

func newListLine(f *catalog.File) listLine {
	i := &f.Info
	line := listLine{
		File: f.Name, State: f.State, Packets: i.Packets, Dropped: i.Statistics.Dropped,
		Bytes: i.OriginalBytes, BytesOnDisk: i.Size, Chunks: i.Chunks,
		Interface: i.Section.InterfaceName, Filter: i.Section.Filter, Comment: i.Section.Comment,
	}
	if i.Packets > 0 {
		line.First, line.Last = stamp(i.First), stamp(i.Last)
	}
	if i.Damage != nil {
		line.Damage = i.Damage.Error()
	}
	return line
}
