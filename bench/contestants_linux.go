package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// The device that every contestant records, and its addresses.
const (
	device      = "bench0"
	deviceLocal = "10.1.0.10"
	devicePeer  = "10.1.0.20"
)

// contestant is a recorder.
type contestant struct {
	name     string
	taps     bool                        // a device that another process holds, instead of making it
	pipeline func(dir string) [][]string // processes that record the device into dir, until SIGINT to the first
	ready    string                      // what the first has printed when it misses no packet any more
	lossCode int                         // exit code for a recording that lost packets
	counter  string                      // who counts what is lost before the recorder has it
	counts   func(output string) (counts, error)
	noFile   bool // keeps no packets
}

// commandLine is what a user would type.
func (c contestant) commandLine() string {
	var parts []string
	for _, argv := range c.pipeline(".") {
		argv[0] = filepath.Base(argv[0])
		parts = append(parts, strings.Join(argv, " "))
	}
	return strings.Join(parts, " | ")
}

// tools are the commands that it runs.
func (c contestant) tools() (names []string) {
	for _, argv := range c.pipeline(".") {
		names = append(names, argv[0])
	}
	return names
}

// counts are packets, as a contestant tells them at its end.
type counts struct {
	recorded uint64
	kernel   uint64 // lost before the recorder had them: in a queue, a ring or a socket
	recorder uint64 // lost after: for want of memory
}

func (c counts) total() uint64 { return c.recorded + c.kernel + c.recorder }

// The names of contestants that tables and targets look for.
const (
	tunrecZstd     = "tunrec"
	tunrecNone     = "tunrec-none"
	tunrecRead     = "tunrec-read"
	tunrecReadNone = "tunrec-read-none"
	bareLoop       = "bare"
	plainLoop      = "plain-loop"
	tcpdump        = "tcpdump"
	tcpdumpZstd    = "tcpdump|zstd"
	dumpcap        = "dumpcap"
	netsniff       = "netsniff-ng"
)

// ours are the ways of tunrec, and its limits: a loop that only reads, and a
// device that takes nothing.
func ours(self, tunrec string) []contestant {
	return []contestant{
		tunrecWith(tunrec, tunrecZstd),
		tunrecWith(tunrec, tunrecNone, "--compress", "none"),
		tunrecWith(tunrec, tunrecRead, "--ingest", "read"),
		tunrecWith(tunrec, tunrecReadNone, "--ingest", "read", "--compress", "none"),
		limit(self, bareLoop, "bare"),
		limit(self, "discard", "hold"),
	}
}

// limit is a part of the bench that keeps no packets.
func limit(self, name, part string) contestant {
	return contestant{
		name:     name,
		pipeline: func(string) [][]string { return [][]string{{self, part, device}} },
		ready:    bareReady,
		counter:  "queue",
		counts:   bareCounts,
		noFile:   true,
	}
}

func tunrecWith(tunrec, name string, flags ...string) contestant {
	counter := "ring" // or queue, where a ring cannot be had
	if slices.Contains(flags, "read") {
		counter = "queue"
	}
	return contestant{
		name: name,
		pipeline: func(dir string) [][]string {
			argv := []string{tunrec, "-i", device, "--addr", deviceLocal + "," + devicePeer,
				"-o", filepath.Join(dir, "capture.pcapng"), "-q", "--json"}
			return [][]string{append(argv, flags...)}
		},
		ready:    `"event":"started"`,
		lossCode: 3,
		counter:  counter,
		counts:   tunrecCounts,
	}
}

// tunrecCounts reads the "stopped" event of --json.
func tunrecCounts(output string) (counts, error) {
	for line := range strings.Lines(output) {
		var e struct {
			Event          string
			Recorded       uint64
			DroppedByQueue uint64 `json:"dropped_by_queue"`
			DroppedNoSlab  uint64 `json:"dropped_no_slab"`
			DroppedByWrite uint64 `json:"dropped_by_write"`
		}
		if json.Unmarshal([]byte(line), &e) != nil || e.Event != "stopped" {
			continue
		}
		if e.DroppedByWrite != 0 {
			return counts{}, fmt.Errorf("write errors: %s", output)
		}
		return counts{recorded: e.Recorded, kernel: e.DroppedByQueue, recorder: e.DroppedNoSlab}, nil
	}
	return counts{}, fmt.Errorf("no stopped event in %q", output)
}
