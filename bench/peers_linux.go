package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
)

// peers are other recorders, with the flags that their users type: the names
// of hosts are not looked up, no promiscuous mode, and whatever prints counts
// while it records is quiet. Buffers are what each has by itself. dumpcap
// compresses only files of a series, and not the last; netsniff-ng would give
// raw IP a link type that is wrong.
func peers(self string) []contestant {
	return []contestant{
		{
			name:     plainLoop,
			pipeline: func(dir string) [][]string { return [][]string{{self, "plain", dir}} },
			ready:    bareReady,
			counter:  "queue",
			counts:   bareCounts,
		},
		tap(tcpdump, "listening on", tcpdumpCounts, func(dir string) [][]string {
			return [][]string{{"tcpdump", "-i", device, "-n", "-p", "-Z", "root", "-w", filepath.Join(dir, "capture.pcap")}}
		}),
		tap(tcpdumpZstd, "listening on", tcpdumpCounts, func(dir string) [][]string {
			return [][]string{
				{"tcpdump", "-i", device, "-n", "-p", "-w", "-"},
				{"zstd", "-1", "-q", "-o", filepath.Join(dir, "capture.pcap.zst")},
			}
		}),
		tap(dumpcap, "File: ", dumpcapCounts, func(dir string) [][]string {
			return [][]string{{"dumpcap", "-i", device, "-p", "-q", "-w", filepath.Join(dir, "capture.pcapng")}}
		}),
		tap("dumpcap-gzip", "File: ", dumpcapCounts, func(dir string) [][]string {
			return [][]string{{"dumpcap", "-i", device, "-p", "-q", "-b", "filesize:10000", "--compress-type", "gzip",
				"-w", filepath.Join(dir, "capture.pcapng")}}
		}),
		tap(netsniff, "Running!", netsniffCounts, func(dir string) [][]string {
			return [][]string{{"netsniff-ng", "--in", device, "--out", filepath.Join(dir, "capture.pcap"), "--silent", "--no-promisc", "--cooked"}}
		}),
	}
}

func tap(name, ready string, counts func(string) (counts, error), pipeline func(dir string) [][]string) contestant {
	return contestant{name: name, taps: true, pipeline: pipeline, ready: ready, counter: "socket", counts: counts}
}

var (
	tcpdumpClosing  = regexp.MustCompile(`(\d+) packets? captured\s+\d+ packets? received by filter\s+(\d+) packets? dropped by kernel`)
	dumpcapClosing  = regexp.MustCompile(`: (\d+)/\d+ \(pcap:(\d+)/dumpcap:(\d+)/flushed:(\d+)/`)
	netsniffClosing = regexp.MustCompile(`packets incoming \((\d+) unread on exit\)\s+(\d+)\s+packets passed filter\s+(\d+)\s+packets failed filter`)
)

func tcpdumpCounts(output string) (counts, error) {
	n, err := numbers(tcpdumpClosing, output)
	if err != nil {
		return counts{}, err
	}
	return counts{recorded: n[0], kernel: n[1]}, nil
}

func dumpcapCounts(output string) (counts, error) {
	n, err := numbers(dumpcapClosing, output)
	if err != nil {
		return counts{}, err
	}
	return counts{recorded: n[0], kernel: n[1], recorder: n[2] + n[3]}, nil
}

func netsniffCounts(output string) (counts, error) {
	n, err := numbers(netsniffClosing, output)
	if err != nil {
		return counts{}, err
	}
	return counts{recorded: n[1] - n[0], kernel: n[2], recorder: n[0]}, nil
}

// numbers are the groups of digits that an expression finds.
func numbers(r *regexp.Regexp, output string) (all []uint64, err error) {
	groups := r.FindStringSubmatch(output)
	if groups == nil {
		return nil, fmt.Errorf("no closing counts in %q", output)
	}
	for _, g := range groups[1:] {
		n, err := strconv.ParseUint(g, 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}
