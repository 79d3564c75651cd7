package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// publish prints the tables, and puts them into the files that are asked for.
func (b *bench) publish(ctx context.Context, w io.Writer, r results) error {
	var tables bytes.Buffer
	b.print(ctx, &tables, r)
	_, err := w.Write(tables.Bytes())
	if b.document != "" {
		err = errors.Join(err, updateDocument(b.document, tables.String()))
	}
	if b.summary != "" {
		var summary bytes.Buffer
		r.printSummary(&summary)
		err = errors.Join(err, updateDocument(b.summary, summary.String()))
	}
	if b.plot != "" {
		err = errors.Join(err, os.WriteFile(b.plot, plot(r.bars()), 0o644))
	}
	return err
}

func (b *bench) print(ctx context.Context, w io.Writer, r results) {
	fmt.Fprintf(w, "Medians of %d rounds (least..most), each of %v of sending; MB are 1,000,000 bytes.\n", b.rounds, b.duration)

	fmt.Fprint(w, "\n### Targets\n\n")
	lines := [][]string{{"target", "measured", "limit", ""}}
	for _, t := range r.targets() {
		lines = append(lines, t.cells())
	}
	printCells(w, lines)

	printTable(w, "### Recording\n\nCPU in µs per packet, bytes on disk per packet.", recordingLabels, recordingColumns, r.recordings)
	printTable(w, "### Time stamps\n\nHow much later than the sender's own is the time in the file.", clockLabels, clockColumns, r.clocks)
	printTable(w, "### Without a packet, and at 10 packets/s", quietLabels, quietColumns, r.quiets)
	printTable(w, "### Highest rate without loss", ceilingLabels, ceilingColumns, r.ceilings)
	printTable(w, "### Bytes on disk", sizesLabels, sizesColumns, r.sizes)
	printTable(w, fmt.Sprintf("### Compressing a plain pcapng of %.0f MB", float64(b.replayBytes)/1e6),
		replayLabels, replayColumns, r.replays)

	fmt.Fprint(w, "\n### Commands\n\n")
	lines = [][]string{{"recorder", "command"}}
	for _, c := range append(slices.Clone(b.contestants), b.rotating()) {
		lines = append(lines, []string{c.name, "`" + c.commandLine() + "`"})
	}
	printCells(w, lines)

	fmt.Fprint(w, "\n### Machine\n\n")
	for _, line := range append(machine(ctx), "load average before: "+b.busy) {
		fmt.Fprintf(w, "- %s\n", line)
	}
}

// printSummary prints the recordings that everybody makes in a few columns.
func (r results) printSummary(w io.Writer) {
	lines := [][]string{{"", "recorder's CPU, µs", "sender's", "sum", "bytes on disk", "lost", "lost of a flood"}}
	for _, b := range r.bars() {
		flooded := middle(valuesOf(r.recordings, recordName(b.name, stream{packetBytes: 100}), recording.kept))
		lines = append(lines, []string{b.name, digits(2)(b.recorder), digits(2)(b.sender), digits(2)(b.recorder + b.sender),
			digits(0)(b.diskBytes), percentLost(b.kept), percentLost(flooded)})
	}
	printCells(w, lines)
}

func percentLost(kept float64) string { return digits(1)(100*(1-kept)) + " %" }

// bars are the recordings that everybody makes.
func (r results) bars() (all []bar) {
	for _, row := range r.recordings {
		who := row.labels[0]
		if row.name != recordName(who, common) || who == rotatingLabel {
			continue
		}
		value := func(f func(recording) float64) float64 { return middle(sorted(row.rounds, f)) }
		all = append(all, bar{
			name:      who,
			recorder:  value(recording.recorderCPU),
			sender:    value(recording.senderCPU),
			diskBytes: value(recording.diskPerPacket),
			kept:      value(recording.kept),
		})
	}
	return all
}
