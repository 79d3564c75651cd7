package timeline

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
)

// TestTimelineKeepsSums: however many spans there are, none is forgotten.
func TestTimelineKeepsSums(t *testing.T) {
	for _, n := range []int{1, 2, maxSpans - 1, maxSpans, maxSpans + 1, 5*maxSpans + 3} {
		var over Timeline
		for i := range n {
			over.Add(Span{int64(i) * 1000, int64(i)*1000 + 500, 2, 30, 1})
		}
		if len(over.spans) > maxSpans {
			t.Fatalf("%d spans are kept of %d", len(over.spans), n)
		}
		for _, columns := range []int{1, 7, 60} {
			c, _ := over.Columns(columns)
			var sum Column
			for _, x := range c {
				sum.Packets += x.Packets
				sum.Bytes += x.Bytes
				sum.Drops += x.Drops
			}
			if want := float64(n); math.Abs(sum.Packets-2*want) > 0.01 || math.Abs(sum.Bytes-30*want) > 0.1 || math.Abs(sum.Drops-want) > 0.01 {
				t.Errorf("%d spans in %d columns: %+v", n, columns, sum)
			}
		}
	}
}

// TestTimelineExtremes: times from strangers may be any.
func TestTimelineExtremes(t *testing.T) {
	var over Timeline
	for _, at := range []int64{math.MaxInt64, math.MinInt64, 0, -1} {
		over.Add(Span{at, at, 1, 1, 0})
	}
	over.Add(Span{math.MaxInt64, math.MinInt64, 1, 1, 0}) // which no honest file has
	over.Columns(60)
	if err := WriteSVG(io.Discard, "x", &over); err != nil {
		t.Error(err)
	}
	(&Timeline{}).Columns(60)
}

func TestSparkline(t *testing.T) {
	if got := Sparkline([]float64{0, 0.001, 4, 8, 7.9}); got != " ▁▅██" {
		t.Errorf("%q", got)
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	var over Timeline
	over.Add(Span{0, 1e9, 10, 1000, 1})
	over.Add(Span{2e9, 3e9, 20, 2000, 0})
	var b bytes.Buffer
	if err := WriteSVG(&b, `<a & "b">`, &over); err != nil {
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
