// Package timeline adds up packets, bytes and drops over time, and draws them.
package timeline

import (
	"strings"
	"time"
)

// Span is what came between two times, both inclusive, ns since 1970.
type Span struct {
	From, To              int64
	Packets, Bytes, Drops uint64
}

// maxSpans bounds the memory of a Timeline: there are more than a picture has
// columns.
const maxSpans = 1 << 16

// Timeline collects what came when. Neighbours are put together as they become
// too many.
type Timeline struct {
	spans []Span
	each  int // spans that were put together to one; 0: 1
	n     int // of them in the last one
}

// Add puts s behind what there is.
func (t *Timeline) Add(s Span) {
	if t.n < t.each {
		t.spans[len(t.spans)-1].join(s)
		t.n++
		return
	}
	if len(t.spans) == maxSpans {
		for i := range maxSpans / 2 {
			t.spans[i] = t.spans[2*i]
			t.spans[i].join(t.spans[2*i+1])
		}
		t.spans = t.spans[:maxSpans/2]
		t.each = 2 * max(t.each, 1)
	}
	t.spans = append(t.spans, s)
	t.n = 1
}

func (s *Span) join(o Span) {
	s.From, s.To = min(s.From, o.From), max(s.To, o.To)
	s.Packets += o.Packets
	s.Bytes += o.Bytes
	s.Drops += o.Drops
}

// Len returns how many spans there are, neighbours that were put together counted once.
func (t *Timeline) Len() int { return len(t.spans) }

// Whole is the time from the first to the last packet.
func (t *Timeline) Whole() (from, to int64) {
	for i, s := range t.spans {
		if i == 0 {
			from, to = s.From, s.To
		}
		from, to = min(from, s.From), max(to, s.To)
	}
	return from, to
}

// Column is a part of a picture: what came in it.
type Column struct{ Packets, Bytes, Drops float64 }

// Columns cuts the time into n equal parts. What a Span has is spread evenly
// over it.
func (t *Timeline) Columns(n int) (c []Column, each time.Duration) {
	from, to := t.Whole()
	width := max(float64(to)-float64(from), 1) / float64(n)
	c = make([]Column, n)
	at := func(unixNano int64) float64 { return (float64(unixNano) - float64(from)) / width }
	for _, s := range t.spans {
		begin, end := at(s.From), at(s.To)
		first, last := min(int(begin), n-1), min(int(end), n-1)
		for i := first; i <= last; i++ {
			share := 1.0
			if first != last {
				share = (min(end, float64(i+1)) - max(begin, float64(i))) / (end - begin)
			}
			c[i].Packets += share * float64(s.Packets)
			c[i].Bytes += share * float64(s.Bytes)
			c[i].Drops += share * float64(s.Drops)
		}
	}
	return c, time.Duration(width)
}

// Sparkline draws values in one line of text; any that is not 0 is seen.
func Sparkline(values []float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	var b strings.Builder
	for _, v := range values {
		if v <= 0 {
			b.WriteRune(' ')
			continue
		}
		b.WriteRune(bars[min(int(v/highest*float64(len(bars))), len(bars)-1)])
	}
	return b.String()
}

// PerSecond returns the rates in the columns, by what is counted, and the highest.
func PerSecond(c []Column, each time.Duration, what func(Column) float64) (rates []float64, highest float64) {
	rates = make([]float64, len(c))
	for i := range c {
		rates[i] = what(c[i]) / max(each.Seconds(), 1e-9)
		highest = max(highest, rates[i])
	}
	return rates, highest
}
