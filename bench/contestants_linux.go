package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The device that every contestant makes, and its addresses.
const (
	device      = "bench0"
	deviceLocal = "10.1.0.10"
	devicePeer  = "10.1.0.20"
)

// contestant is a recorder.
type contestant struct {
	name     string
	argv     func(dir string) []string // records the device into dir, until SIGINT
	ready    string                    // what it has printed when it misses no packet any more
	lossCode int                       // exit code for a recording that lost packets
	counts   func(output string) (counts, error)
}

// counts are packets, as a contestant tells them at its end.
type counts struct {
	recorded uint64
	byQueue  uint64 // dropped by the device's queue
	noMemory uint64 // read, then dropped for want of memory
}

func (c counts) total() uint64 { return c.recorded + c.byQueue + c.noMemory }

func contestants(self, tunrec string) []contestant {
	return []contestant{
		tunrecWith(tunrec, "tunrec", "zstd"),
		tunrecWith(tunrec, "tunrec-none", "none"),
		{
			name:   "bare",
			argv:   func(string) []string { return []string{self, "bare", device} },
			ready:  bareReady,
			counts: bareCounts,
		},
	}
}

func tunrecWith(tunrec, name, compress string) contestant {
	return contestant{
		name: name,
		argv: func(dir string) []string {
			return []string{tunrec, "-i", device, "--addr", deviceLocal + "," + devicePeer,
				"-o", filepath.Join(dir, "capture.pcapng"), "--compress", compress}
		},
		ready:    "to see a packet",
		lossCode: 3,
		counts:   tunrecCounts,
	}
}

var tunrecClosing = regexp.MustCompile(`(?s)([\d,]+) packets recorded.*?` +
	`([\d,]+) dropped by the device's queue, ([\d,]+) for want of memory, ([\d,]+) by write errors`)

func tunrecCounts(output string) (counts, error) {
	var n [4]uint64
	m := tunrecClosing.FindStringSubmatch(output)
	if m == nil {
		return counts{}, fmt.Errorf("no closing counts in %q", output)
	}
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(strings.ReplaceAll(m[i+1], ",", ""), 10, 64); err != nil {
			return counts{}, fmt.Errorf("closing counts: %w", err)
		}
	}
	if n[3] != 0 {
		return counts{}, fmt.Errorf("write errors: %s", output)
	}
	return counts{recorded: n[0], byQueue: n[1], noMemory: n[2]}, nil
}
