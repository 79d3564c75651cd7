package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	found := []listed{{name: name, named: true}}
	inspectAll(found)
	d := described{listed: found[0]}
	d.addChunks(&timeline{})
	if d.err != nil || d.state != lsOpen {
		t.Errorf("state %q, %v", d.state, d.err)
	}
}

// TestTimelineKeepsSums: however many spans there are, none is forgotten.
func TestTimelineKeepsSums(t *testing.T) {
	for _, n := range []int{1, 2, maxSpans - 1, maxSpans, maxSpans + 1, 5*maxSpans + 3} {
		var over timeline
		for i := range n {
			over.add(span{int64(i) * 1000, int64(i)*1000 + 500, 2, 30, 1})
		}
		if len(over.spans) > maxSpans {
			t.Fatalf("%d spans are kept of %d", len(over.spans), n)
		}
		for _, columns := range []int{1, 7, 60} {
			c, _ := over.columns(columns)
			var sum column
			for _, x := range c {
				sum.packets += x.packets
				sum.bytes += x.bytes
				sum.drops += x.drops
			}
			if want := float64(n); math.Abs(sum.packets-2*want) > 0.01 || math.Abs(sum.bytes-30*want) > 0.1 || math.Abs(sum.drops-want) > 0.01 {
				t.Errorf("%d spans in %d columns: %+v", n, columns, sum)
			}
		}
	}
}

// TestTimelineExtremes: times from strangers may be any.
func TestTimelineExtremes(t *testing.T) {
	var over timeline
	for _, at := range []int64{math.MaxInt64, math.MinInt64, 0, -1} {
		over.add(span{at, at, 1, 1, 0})
	}
	over.add(span{math.MaxInt64, math.MinInt64, 1, 1, 0}) // which no honest file has
	over.columns(60)
	if err := drawSVG(io.Discard, "x", &over); err != nil {
		t.Error(err)
	}
	(&timeline{}).columns(60)
}

func TestSparkline(t *testing.T) {
	if got := sparkline([]float64{0, 0.001, 4, 8, 7.9}); got != " ▁▅██" {
		t.Errorf("%q", got)
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	var over timeline
	over.add(span{0, 1e9, 10, 1000, 1})
	over.add(span{2e9, 3e9, 20, 2000, 0})
	var b bytes.Buffer
	if err := drawSVG(&b, `<a & "b">`, &over); err != nil {
		t.Fatal(err)
	}
	text := ""
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if chars, ok := token.(xml.CharData); ok {
			text += string(chars)
		}
	}
	if !strings.Contains(text, `<a & "b">`) || !strings.Contains(text, "drops/s") {
		t.Error(text)
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
