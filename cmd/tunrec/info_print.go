package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/timeline"
)

// sparkColumns is how wide the small picture is.
const sparkColumns = 60

// printInfoOne prints all that is known of a file. What it does not say is left
// out.
func printInfoOne(w io.Writer, d *described, over *timeline.Timeline) {
	i, s := &d.Info, &d.Info.Statistics
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-15s %s\n", name+":", fmt.Sprintf(format, args...))
	}
	text := func(name, value string) {
		if value != "" {
			line(name, "%s", printable(value))
		}
	}
	line("File", "%s", printable(d.Name))
	line("State", "%s", d.State)
	if i.Damage != nil {
		line("Damage", "%s", harmless(i.Damage.Error()))
	}
	line("Format", "%s", d.format)
	line("Size", "%s (%s bytes)", humanize.IBytes(uint64(i.Size)), count(uint64(i.Size)))
	if i.Chunks > 0 {
		line("Chunks", "%s, of %s on average", count(i.Chunks), humanize.IBytes(i.ContentBytes/i.Chunks))
		line("Compression", "%.2f : 1", ratio(d))
	}
	line("Packets", "%s", count(i.Packets))
	if i.Packets > 0 {
		line("First packet", "%s", time.Unix(0, i.First).Format(time.RFC3339Nano))
		line("Last packet", "%s", time.Unix(0, i.Last).Format(time.RFC3339Nano))
		took := lasted(i.First, i.Last)
		line("Duration", "%s", took)
		line("Data", "%s (%s bytes) on the wire, %s bytes a packet", humanize.IBytes(i.OriginalBytes),
			count(i.OriginalBytes), humanize.CommafWithDigits(float64(i.OriginalBytes)/float64(i.Packets), 1))
		if took > 0 {
			line("Rate", "%s packets/s, %s", humanize.CommafWithDigits(rate(i.Packets, took), 1),
				humanize.SIWithDigits(rate(i.OriginalBytes*8, took), 2, "bit/s"))
		}
	}
	if len(d.linkTypes) > 0 {
		line("Link types", "%s", linkTypesText(d.linkTypes))
	}
	if d.linkTypes == nil || *s != (pcapng.Statistics{}) {
		line("Received", "%s", count(s.Received))
		line("Filtered", "%s", count(d.filtered()))
		line("Dropped", "%s, %s of them by the system's queue", count(s.Dropped), count(s.OSDropped))
	}
	if s.Start != 0 {
		line("Recorded", "%s to %s", time.Unix(0, s.Start).Format(time.RFC3339Nano), time.Unix(0, s.End).Format(time.RFC3339Nano))
	}
	text("Interface", i.Section.InterfaceName)
	text("Description", i.Section.InterfaceDescription)
	text("Filter", i.Section.Filter)
	if i.Section.Snaplen > 0 {
		line("Snaplen", "%s", count(uint64(i.Section.Snaplen)))
	}
	text("Comment", i.Section.Comment)
	text("Application", i.Section.Application)
	text("System", i.Section.OS)
	text("Hardware", i.Section.Hardware)
	printSparks(w, over)
}

// printSparks draws packets and, where there are any, drops over time.
func printSparks(w io.Writer, over *timeline.Timeline) {
	// Within a span nobody knows when its packets came: no more columns than spans.
	n := min(over.Len(), sparkColumns)
	if from, to := over.Whole(); n < 2 || from == to {
		return
	}
	c, each := over.Columns(n)
	rates, highest := timeline.PerSecond(c, each, func(c timeline.Column) float64 { return c.Packets })
	fmt.Fprintf(w, "\npackets/s  %s  at most %s, each column is %s\n", timeline.Sparkline(rates), humanize.CommafWithDigits(highest, 1), threeDigits(each))
	if rates, highest := timeline.PerSecond(c, each, func(c timeline.Column) float64 { return c.Drops }); highest > 0 {
		fmt.Fprintf(w, "drops/s    %s  at most %s\n", timeline.Sparkline(rates), humanize.CommafWithDigits(highest, 1))
	}
}

// threeDigits rounds a duration to three digits or a little more.
func threeDigits(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

func rate(n uint64, took time.Duration) float64 { return float64(n) / took.Seconds() }

// ratio is how much smaller the file is than its content.
func ratio(d *described) float64 {
	return float64(d.Info.ContentBytes) / float64(max(d.Info.Size, 1))
}

// linkTypesText names the link types, the most frequent one first.
func linkTypesText(types map[uint16]uint64) string {
	var order []uint16
	for t := range types {
		order = append(order, t)
	}
	slices.SortFunc(order, func(a, b uint16) int {
		if types[a] != types[b] {
			return int(types[b]) - int(types[a])
		}
		return int(a) - int(b)
	})
	var parts []string
	for _, t := range order[:min(len(order), 10)] {
		parts = append(parts, fmt.Sprintf("%d (%s)", t, packets(types[t])))
	}
	return strings.Join(parts, ", ")
}

// printInfoTable prints several files, and their sum.
func printInfoTable(w io.Writer, files []described, over *timeline.Timeline) {
	rows := [][]string{{"NAME", "FIRST", "DURATION", "PACKETS", "PACKETS/S", "DATA", "DROPS", "SIZE", "RATIO", "STATE"}}
	var sum described
	for n := range files {
		d := &files[n]
		rows = append(rows, infoRow(printable(d.Name), d))
		i := &sum.Info
		if d.Info.Packets > 0 {
			if i.Packets == 0 {
				i.First, i.Last = d.Info.First, d.Info.Last
			}
			i.First, i.Last = min(i.First, d.Info.First), max(i.Last, d.Info.Last)
		}
		i.Packets += d.Info.Packets
		i.OriginalBytes += d.Info.OriginalBytes
		i.ContentBytes += d.Info.ContentBytes
		i.Statistics.Dropped += d.Info.Statistics.Dropped
		i.Size += d.Info.Size
	}
	printColumns(w, append(rows, infoRow(plural(uint64(len(files)), "file"), &sum)))
	printSparks(w, over)
}

func infoRow(name string, d *described) []string {
	i := &d.Info
	row := listRow(name, i, string(d.State))
	perSecond := "-"
	if took := lasted(i.First, i.Last); took > 0 {
		perSecond = humanize.CommafWithDigits(rate(i.Packets, took), 1)
	}
	row = slices.Insert(row, 4, perSecond, humanize.IBytes(i.OriginalBytes))
	return slices.Insert(row, 8, fmt.Sprintf("%.2f", ratio(d)))
}

// infoLine is what --json says of a file: what ls says, and more.
type infoLine struct {
	listLine
	Format         string            `json:"format"`
	ContentBytes   uint64            `json:"content_bytes"`
	Received       uint64            `json:"received"`
	Filtered       uint64            `json:"filtered"`
	DroppedByQueue uint64            `json:"dropped_by_queue"`
	Start          string            `json:"start,omitempty"` // of the recording, RFC 3339
	Stop           string            `json:"stop,omitempty"`
	Snaplen        uint32            `json:"snaplen,omitempty"`
	Application    string            `json:"application,omitempty"`
	OS             string            `json:"os,omitempty"`
	Hardware       string            `json:"hardware,omitempty"`
	LinkTypes      map[uint16]uint64 `json:"link_types,omitempty"` // packets by LINKTYPE_
}

func printInfoJSON(w io.Writer, files []described) {
	for n := range files {
		d := &files[n]
		i, s := &d.Info, &d.Info.Statistics
		line := infoLine{
			listLine: newListLine(&d.File), Format: d.format, ContentBytes: i.ContentBytes,
			Received: s.Received, Filtered: d.filtered(), DroppedByQueue: s.OSDropped,
			Snaplen: i.Section.Snaplen, Application: i.Section.Application,
			OS: i.Section.OS, Hardware: i.Section.Hardware, LinkTypes: d.linkTypes,
		}
		if s.Start != 0 {
			line.Start, line.Stop = stamp(s.Start), stamp(s.End)
		}
		printJSON(w, line) // the error of writing is Flush's
	}
}

// lasted is the time from first to last, nanoseconds since 1970, as far as it can
// be told: a file may claim any.
func lasted(first, last int64) time.Duration {
	if d := last - first; last <= first || d > 0 {
		return max(0, time.Duration(d))
	}
	return math.MaxInt64
}
