package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tunrec/tunrec/internal/load"
)

// TestMain lets the test binary be what bench starts of itself.
func TestMain(m *testing.M) {
	if _, ok := parts[arg(1)]; ok {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every way of measuring runs once, with peers that the other tests need, too.
func TestRunMeasures(t *testing.T) {
	dir := t.TempDir()
	document, svg := filepath.Join(dir, "benchmarks.md"), filepath.Join(dir, "plot.svg")
	summary := filepath.Join(dir, "README.md")
	for _, name := range []string{document, summary} {
		if err := os.WriteFile(name, []byte("before\n"+documentBegin+"old\n"+documentEnd+"after\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := config{
		rounds:   1,
		duration: 100 * time.Millisecond,
		only: regexp.MustCompile("^record/(tunrec|tunrec-read-none|bare|discard|plain-loop|tcpdump.*)/100B/500k/noise$|" +
			"^clock/tunrec/1k$|^quiet/tunrec$|^size/100B/500k/noise$|^replay/"),
		replayBytes: 5e6,
		document:    document,
		summary:     summary,
		plot:        svg,
	}
	var out bytes.Buffer
	if err := run(context.Background(), c, &out); err != nil {
		t.Fatal(err)
	}
	rows := []string{
		`late by[^\n]*\n[^\n]*\n\| tunrec +\| 1k +\| \d+\.\d +\| \d+`, // a time stamp that is not before the sending
		`readable after[^\n]*\n[^\n]*\n\| tunrec +\| \d+\.\d +\| \d+\.\d\d +\| \d+\.\d\d +\| 0 `,
		`\| 100 +\| noise +\| \d+\.\d\d +\| \d+\.\d\d +\| (0\.9|1\.0)\d+ `,
		`\| tunrec, 2 workers +\| \d+ +\| \d+ +\| 2\.4\d+`,
		`\| EncodeAll +\| \d+ +\| \d+ +\| 2\.4\d+`,
	}
	for _, recorder := range []string{"tunrec", "tunrec-read-none", "bare", "discard", "plain-loop", "tcpdump", `tcpdump\\\|zstd`} {
		// sent, recorded, lost twice: nothing is missing
		rows = append(rows, `\| `+recorder+` +\| 100 +\| noise +\| 500k +\| \S+ +\| \S+ +\| \S+ +\| \S+ +\| \S+ +\| 0 +\| \d`)
	}
	for _, row := range rows {
		if !regexp.MustCompile(row).Match(out.Bytes()) {
			t.Errorf("no %s", row)
		}
	}
	written, err := os.ReadFile(document)
	if want := "before\n" + documentBegin + "\n" + out.String() + "\n" + documentEnd + "after\n"; err != nil || string(written) != want {
		t.Errorf("the document is %s, %v", written, err)
	}
	short, err := os.ReadFile(summary)
	if err != nil || !regexp.MustCompile(`(?m)^\| bare +(\| *\d+\.\d\d +){3}\| 0 +\| -?\d+\.\d % +\| – % `).Match(short) {
		t.Errorf("the summary is %s, %v", short, err)
	}
	if drawn, err := os.ReadFile(svg); err != nil || !strings.Contains(string(drawn), ">plain-loop<") {
		t.Errorf("the plot is %s, %v", drawn, err)
	}
	t.Logf("\n%s", &out)
}

func TestRunRefusesAnOnlyThatMatchesNothing(t *testing.T) {
	err := run(context.Background(), config{rounds: 1, only: regexp.MustCompile("^$")}, &bytes.Buffer{})
	if err == nil || err.Error() != "-only ^$ matches no row" {
		t.Errorf("got error %v", err)
	}
}

func TestAFailedProcessTellsWhatItPrinted(t *testing.T) {
	argv := []string{"sh", "-c", "echo cannot; exit 4"}
	if _, err := start(context.Background(), argv, "ready", nil, nil); err == nil || !strings.Contains(err.Error(), "cannot") {
		t.Errorf("never ready: got error %v", err)
	}
	for code, fails := range map[int]bool{0: true, 3: true, 4: false} {
		p, err := start(context.Background(), argv, "", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		switch output, err := p.end(code); {
		case fails && (err == nil || !strings.Contains(err.Error(), "cannot")):
			t.Errorf("exit code 4 where %d is allowed: got error %v", code, err)
		case !fails && (err != nil || output != "cannot\n"):
			t.Errorf("exit code 4 where it is allowed: got %q, %v", output, err)
		}
	}
}

func TestTunrecCounts(t *testing.T) {
	output := `{"event":"started"}` + "\n" + `{"event":"stopped","received":1235572,"recorded":1234567,` +
		`"dropped_by_queue":1002,"dropped_no_slab":3,"dropped_by_write":%d}` + "\n"
	got, err := tunrecCounts(fmt.Sprintf(output, 0))
	if want := (counts{1_234_567, 1_002, 3}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{fmt.Sprintf(output, 1), "tunrec: error: nothing\n"} {
		if got, err := tunrecCounts(bad); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func TestPeersCounts(t *testing.T) {
	for output, want := range map[string]struct {
		counts func(string) (counts, error)
		is     counts
	}{
		"7 packets captured\n12 packets received by filter\n5 packets dropped by kernel\n":                                            {tcpdumpCounts, counts{7, 5, 0}},
		"1 packet captured\n1 packet received by filter\n0 packets dropped by kernel\n":                                               {tcpdumpCounts, counts{1, 0, 0}},
		"Packets captured: 9\nPackets received/dropped on interface 'bench0': 9/6 (pcap:1/dumpcap:2/flushed:3/ps_ifdrop:0) (60.0%)\n": {dumpcapCounts, counts{9, 1, 5}},
		"  12  packets incoming (2 unread on exit)\n  9  packets passed filter\n  3  packets failed filter (out of space)\n":          {netsniffCounts, counts{7, 3, 2}},
	} {
		if got, err := want.counts(output); err != nil || got != want.is {
			t.Errorf("%q: got %v, %v", output, got, err)
		}
		if got, err := want.counts(output[:len(output)/2]); err == nil {
			t.Errorf("half of %q: got %v", output, got)
		}
	}
}

func TestRings(t *testing.T) {
	const smaps = `7f00-7f10 rw-s 00000000 00:0e 1056   anon_inode:bpf-map
Size:                 64 kB
Rss:                  12 kB
Pss:                   6 kB
VmFlags: rd wr sh
7f10-7f20 rw-p 00000000 00:00 0
Rss:                 100 kB
Pss:                 100 kB
7f20-7f30 rw-s 00000000 00:08 77     socket:[77]
Rss:                   8 kB
Pss:                   8 kB
`
	if resident, held := rings(smaps); resident != 20<<10 || held != 14<<10 {
		t.Errorf("got %d, %d", resident, held)
	}
}

func TestTargetIsReached(t *testing.T) {
	for want, targets := range map[string][]target{
		"reached":         {atMost("", 0, 0), atMost("", 0.9, 0.9), atMost("", 0.9, 0.8), atLeast("", 1, 1), atLeast("", 1, 2)},
		"**not reached**": {atMost("", 0, 1), atMost("", 0.9, 0.91), atLeast("", 1, 0.99), atMost("", 1, inf)},
		"not measured":    {atMost("", 0, math.NaN()), atLeast("", 1, math.NaN())},
	} {
		for _, target := range targets {
			if cells := target.cells(); cells[len(cells)-1] != want {
				t.Errorf("%v: %q, not %q", target, cells, want)
			}
		}
	}
}

func TestDocumentWithoutMarkers(t *testing.T) {
	for _, document := range []string{"", documentBegin, documentEnd + documentBegin, "text\n"} {
		if got, err := betweenMarkers(document, "new"); err == nil {
			t.Errorf("%q became %q", document, got)
		}
	}
}

func TestPlotIsWellFormed(t *testing.T) {
	drawn := plot([]bar{
		{name: "a & <b>", recorder: 0.5, sender: 1, diskBytes: 60, kept: 1},
		{name: "bare", recorder: 2, sender: 1, kept: 0.25},
	})
	texts := 0
	for d := xml.NewDecoder(bytes.NewReader(drawn)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, drawn)
		}
		if text, ok := token.(xml.CharData); ok && slices.Contains([]string{"a & <b>", "1.50", "60", "3.00 (75 % lost)"}, string(text)) {
			texts++
		}
	}
	if texts != 4 {
		t.Errorf("%d of 4 texts in %s", texts, drawn)
	}
}

func TestSumCheckTellsTheWorstRound(t *testing.T) {
	round := func(sent, refused uint64) recording {
		return recording{sent: load.Result{Sent: sent, NoBuffers: refused}, counts: counts{5, 3, 2}}
	}
	for want, rounds := range map[string][]recording{
		"0":                  {round(10, 0), round(10, 0)},
		"-3":                 {round(11, 0), round(7, 0), round(12, 0)},
		"unknown: 4 refused": {round(10, 0), round(10, 4)},
	} {
		if got := sumCheck(rounds); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	cell := spread("", short, func(v float64) float64 { return v }).cell
	for want, values := range map[string][]float64{
		"7":                 {7},
		"200k":              {200_000.4, 200_000.1},
		"1.5 (1..2)":        {2, 1},
		"49.9k (0..1.523M)": {1_523_400, 0, 49_900},
		"999.9 (999.9..1k)": {999.9, 1000, 999.9},
		"3 (1..4)":          {4, 3, 1},
		"2.5 (1..4)":        {4, 3, 2, 1},
	} {
		if got := cell(values); got != want {
			t.Errorf("%v: got %s, want %s", values, got, want)
		}
	}
}
