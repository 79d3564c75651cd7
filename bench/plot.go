package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// bar is what the plot shows of a contestant.
type bar struct {
	name             string
	recorder, sender float64 // CPU of a packet, in µs
	diskBytes        float64 // of a packet
	kept             float64 // part of the packets that were recorded
}

// Lengths in the plot, in pixels.
const (
	plotWidth  = 800
	plotTop    = 64
	plotRow    = 26
	plotLabels = 136                        // width of the names
	plotCPU    = 330                        // width of the longest bar of CPU
	plotDisk   = 130                        // and of bytes
	plotDiskAt = plotLabels + plotCPU + 130 // behind the longest bar there is a number and what was lost
)

// plot draws, for each bar, the CPU of recorder and sender end to end, and
// beside them the bytes on disk, as SVG. Colours do on a dark page, too.
func plot(bars []bar) []byte {
	var mostCPU, mostDisk float64
	for _, b := range bars {
		mostCPU, mostDisk = max(mostCPU, b.recorder+b.sender), max(mostDisk, b.diskBytes)
	}
	var out bytes.Buffer
	height := plotTop + plotRow*len(bars) + 10
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", plotWidth, height)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, height)
	text := func(x, y float64, anchor, format string, args ...any) {
		fmt.Fprintf(&out, `<text x="%.0f" y="%.0f" text-anchor="%s">`, x, y, anchor)
		xml.EscapeText(&out, fmt.Appendf(nil, format, args...)) // a bytes.Buffer takes everything
		fmt.Fprintln(&out, `</text>`)
	}
	rect := func(x, y, width float64, colour string) {
		fmt.Fprintf(&out, `<rect x="%.1f" y="%.0f" width="%.1f" height="16" fill="%s"/>`+"\n", x, y, width, colour)
	}
	text(10, 20, "start", "CPU (µs) and bytes on disk of a packet of 100 bytes, at 500,000 packets/s")
	rect(plotLabels, 32, 16, recorderColour)
	text(plotLabels+22, 45, "start", "recorder")
	rect(plotLabels+100, 32, 16, senderColour)
	text(plotLabels+122, 45, "start", "sender")
	rect(plotDiskAt, 32, 16, diskColour)
	text(plotDiskAt+22, 45, "start", "bytes on disk")

	for i, b := range bars {
		y := float64(plotTop + plotRow*i)
		recorder, sender := b.recorder/mostCPU*plotCPU, b.sender/mostCPU*plotCPU
		text(plotLabels-8, y+13, "end", "%s", b.name)
		rect(plotLabels, y, recorder, recorderColour)
		rect(plotLabels+recorder, y, sender, senderColour)
		label := fmt.Sprintf("%.2f", b.recorder+b.sender)
		if b.kept < 0.995 {
			label += fmt.Sprintf(" (%.0f %% lost)", 100*(1-b.kept))
		}
		text(plotLabels+recorder+sender+6, y+13, "start", "%s", label)
		if b.diskBytes > 0 {
			disk := b.diskBytes / mostDisk * plotDisk
			rect(plotDiskAt, y, disk, diskColour)
			text(plotDiskAt+disk+6, y+13, "start", "%.0f", b.diskBytes)
		}
	}
	fmt.Fprintln(&out, `</svg>`)
	return out.Bytes()
}

const (
	recorderColour = "#1f6f8b"
	senderColour   = "#e0a458"
	diskColour     = "#7a9e7e"
)
