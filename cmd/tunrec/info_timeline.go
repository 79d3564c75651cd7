package main

import (
	"strings"
	"time"
)

// span is what came between two times, both inclusive, ns since 1970.
type span struct {
	from, to              int64
	packets, bytes, drops uint64
}

// maxSpans bounds the memory of a timeline: there are more than a picture has
// columns.
const maxSpans = 1 << 16

// timeline collects what came when. Neighbours are put together as they become
// too many.
type timeline struct {
	spans []span
	each  int // spans that were put together to one; 0: 1
	n     int // of them in the last one
}

func (t *timeline) add(s span) {
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

func (s *span) join(o span) {
	s.from, s.to = min(s.from, o.from), max(s.to, o.to)
	s.packets += o.packets
	s.bytes += o.bytes
	s.drops += o.drops
}

// whole is the time from the first to the last packet.
func (t *timeline) whole() (from, to int64) {
	for i, s := range t.spans {
		if i == 0 {
			from, to = s.from, s.to
		}
		from, to = min(from, s.from), max(to, s.to)
	}
	return from, to
}

// column is a part of a picture: what came in it.
type column struct{ packets, bytes, drops float64 }

// columns cuts the time into n equal parts. What a span has is spread evenly
// over it.
func (t *timeline) columns(n int) (c []column, each time.Duration) {
	from, to := t.whole()
	width := max(float64(to)-float64(from), 1) / float64(n)
	c = make([]column, n)
	at := func(unixNano int64) float64 { return (float64(unixNano) - float64(from)) / width }
	for _, s := range t.spans {
		begin, end := at(s.from), at(s.to)
		first, last := min(int(begin), n-1), min(int(end), n-1)
		for i := first; i <= last; i++ {
			share := 1.0
			if first != last {
				share = (min(end, float64(i+1)) - max(begin, float64(i))) / (end - begin)
			}
			c[i].packets += share * float64(s.packets)
			c[i].bytes += share * float64(s.bytes)
			c[i].drops += share * float64(s.drops)
		}
	}
	return c, time.Duration(width)
}

// sparkline draws values in one line of text; any that is not 0 is seen.
func sparkline(values []float64) string {
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

// perSecond are the rates in the columns, by what is counted.
func perSecond(c []column, each time.Duration, what func(column) float64) (rates []float64, highest float64) {
	rates = make([]float64, len(c))
	for i := range c {
		rates[i] = what(c[i]) / max(each.Seconds(), 1e-9)
		highest = max(highest, rates[i])
	}
	return rates, highest
}
