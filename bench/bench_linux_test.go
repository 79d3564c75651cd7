package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
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

func TestRunPrintsRowsWithExactSums(t *testing.T) {
	c := config{
		rounds:      1,
		duration:    100 * time.Millisecond,
		only:        regexp.MustCompile("/200k$|^replay/"),
		replayBytes: 5e6,
	}
	var out bytes.Buffer
	if err := run(context.Background(), c, &out); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, recorder := range []string{"tunrec", "tunrec-none", "bare"} {
		for _, size := range []int{100, 1400} {
			// asked, reached, sent 20,000, recorded, lost in queue and memory, sum
			rows = append(rows, fmt.Sprintf(`%s +%d +200k +\S+ +20k +\S+ +\S+ +\S+ +exact `, recorder, size))
		}
	}
	for _, compressor := range []string{"tunrec", "EncodeAll"} {
		rows = append(rows, compressor+` +\d+ +\d+ +2\.4\d+`)
	}
	for _, row := range rows {
		if !regexp.MustCompile(`(?m)^` + row).Match(out.Bytes()) {
			t.Errorf("no row %s", row)
		}
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
	if _, err := start(context.Background(), argv, "ready"); err == nil || !strings.Contains(err.Error(), "cannot") {
		t.Errorf("never ready: got error %v", err)
	}
	for code, fails := range map[int]bool{0: true, 3: true, 4: false} {
		p, err := start(context.Background(), argv, "")
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

func TestSumCheckTellsTheWorstRound(t *testing.T) {
	round := func(sent, refused uint64) recording {
		return recording{sent: load.Result{Sent: sent, NoBuffers: refused}, counts: counts{5, 3, 2}}
	}
	for want, rounds := range map[string][]recording{
		"exact":              {round(10, 0), round(10, 0)},
		"-3 missing":         {round(11, 0), round(7, 0), round(12, 0)},
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
	} {
		if got := cell(values); got != want {
			t.Errorf("%v: got %s, want %s", values, got, want)
		}
	}
}
