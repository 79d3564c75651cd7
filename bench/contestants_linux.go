package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
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
				"-o", filepath.Join(dir, "capture.pcapng"), "--compress", compress, "-q", "--json"}
		},
		ready:    `"event":"started"`,
		lossCode: 3,
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
		return counts{recorded: e.Recorded, byQueue: e.DroppedByQueue, noMemory: e.DroppedNoSlab}, nil
	}
	return counts{}, fmt.Errorf("no stopped event in %q", output)
}
