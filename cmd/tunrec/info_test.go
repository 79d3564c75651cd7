package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/catalog"
	"github.com/tunrec/tunrec/timeline"
)

// TestInfoOfNothingYet: a file whose header is on the way is open, not damaged.
func TestInfoOfNothingYet(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.pcapng")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	found := []catalog.File{{Name: name, Named: true}}
	catalog.InspectAll(found)
	d := described{File: found[0]}
	d.addChunks(&timeline.Timeline{})
	if d.Err != nil || d.State != catalog.Open {
		t.Errorf("state %q, %v", d.State, d.Err)
	}
}

func TestProgressLine(t *testing.T) {
	got := progressLine("verify x", 1<<30, 4<<30, 2*time.Second)
	if want := "verify x  █████░░░░░░░░░░░░░░░  25 %  512 MiB/s  6s left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	progressLine("x", 0, 0, 0)
}

func TestLasted(t *testing.T) {
	for _, test := range []struct {
		first, last int64
		want        time.Duration
	}{
		{1e18, 1e18 + 5, 5}, {7, 7, 0}, {8, 7, 0},
		{math.MinInt64, math.MaxInt64, math.MaxInt64}, {-1, math.MaxInt64, math.MaxInt64},
	} {
		if got := lasted(test.first, test.last); got != test.want {
			t.Errorf("from %d to %d: %v, not %v", test.first, test.last, got, test.want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 1234567: "1,234,567", math.MaxUint64: "18,446,744,073,709,551,615"} {
		if got := count(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
