package recorder

import (
	"math"
	"time"
)

// Which file of a series a packet is in, its own time stamp decides, and the
// sink acts on it. The reader has a timer, for when no packet comes: it tells
// the sink that a file's time is over.

// clockPoll is how often a wait looks at the wall clock, which may be set
// while the reader sleeps.
const clockPoll = time.Second

// left is how long the present file may still last, at most clockPoll at once;
// not ok where no time ends it, or its end has been told already.
func (rd *reader) left(at time.Time) (time.Duration, bool) {
	f := rd.Sink.Current()
	if f.End == math.MaxInt64 || f.End == rd.ended || rd.Patient || rd.slab == nil {
		return 0, false
	}
	now := at.UnixNano()
	if now < f.Begin {
		return 0, true // the clock was set back
	}
	return min(time.Duration(f.End-now), clockPoll), true
}

// expire tells the sink that the present file's time is over.
func (rd *reader) expire(now time.Time) {
	f := rd.Sink.Current()
	if rd.cut(ReasonTime, now) {
		rd.ended = f.End
	}
}

// cut ends the present file. It returns false where no slab was free to say so.
func (rd *reader) cut(reason Reason, t time.Time) bool {
	return rd.sendMarked(func(s *slab) { s.cut, s.cutAt = reason, t })
}

// sendMarked hands on the slab, even an empty one, with a mark on it. It
// returns false where there is none.
func (rd *reader) sendMarked(mark func(*slab)) bool {
	if rd.slab == nil {
		rd.start(rd.take())
	}
	if rd.slab == nil {
		return false
	}
	mark(rd.slab)
	rd.send(rd.slab)
	return true
}

// aim finds where to seal so that a file of so many packets ends with a slab.
func (rd *reader) aim() {
	if n := rd.FilePackets; n > 0 {
		before := rd.Sink.Current().Before
		rd.sealAt = before + ((rd.recorded-before)/n+1)*n
	}
}
