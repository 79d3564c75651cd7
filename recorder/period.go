package recorder

import (
	"math"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/rotate"
)

// A period is the stretch of time whose packets go into one file of a series.
// A packet's own time stamp decides which file it is in; where none comes, a
// timer ends the file.
type period struct {
	lo, hi int64  // time stamps from lo to before hi belong to it; lo > hi: it begins with the next packet
	began  int64  // its first time stamp
	reason Reason // why it ends at hi
	inFile uint64 // packets in it
}

var unbegun = period{lo: math.MaxInt64, hi: math.MinInt64}

// clockPoll is how often a wait looks at the wall clock, which may be set
// while the reader sleeps.
const clockPoll = time.Second

// firstPeriod is the period at the start of a recording.
func (r *Recorder) firstPeriod() period {
	switch {
	case r.Cut.Interval == 0 && r.Cut.Duration == 0:
		return period{lo: math.MinInt64, hi: math.MaxInt64}
	case r.Cut.Empty && !r.Patient:
		return r.newPeriod(time.Now().UnixNano())
	}
	return unbegun
}

// newPeriod is the period that begins with a packet of that time stamp.
func (r *Recorder) newPeriod(unixNano int64) period {
	p := period{lo: math.MinInt64, hi: math.MaxInt64, began: unixNano}
	if r.Cut.Interval > 0 {
		lo, hi := rotate.IntervalBounds(time.Unix(0, unixNano), r.Cut.Interval)
		p.lo, p.hi, p.reason = lo.UnixNano(), hi.UnixNano(), ReasonInterval
	}
	if d := int64(r.Cut.Duration); d > 0 && unixNano+d < p.hi {
		p.hi, p.reason = unixNano+d, ReasonDuration
	}
	if r.Patient {
		p.lo = math.MinInt64 // a file's packets may be out of order
	}
	return p
}

// turn begins a new period with the packet of n bytes that was read into room,
// and moves it there. It returns the slab that the packet is in now: nil where
// there was none for it, and it stands in scratch.
func (rd *reader) turn(n int, unixNano int64) *slab {
	if old := rd.slab; rd.inFile > 0 || rd.Cut.Empty && rd.lo <= rd.hi {
		next, packet := rd.take(), rd.room()[:n]
		if next == nil {
			copy(rd.spare, packet)
		} else {
			copy(next.Buf[:cap(next.Buf)][capfile.MarkLen+pcapng.PacketHeaderLen:], packet)
		}
		old.cut, old.cutAt = rd.reason, time.Unix(0, min(unixNano, rd.hi))
		rd.send(old)
		rd.start(next)
	}
	rd.period = rd.newPeriod(unixNano)
	return rd.slab
}

// left is how long the present period lasts, at most clockPoll at once; not
// ok where nothing ends it but packets.
func (rd *reader) left() (time.Duration, bool) {
	if rd.hi == math.MaxInt64 || rd.lo > rd.hi || rd.Patient || rd.inFile == 0 && !rd.Cut.Empty {
		return 0, false
	}
	now := time.Now().UnixNano()
	if now < rd.lo {
		return 0, true
	}
	return min(time.Duration(rd.hi-now), clockPoll), true
}

// expire ends a period whose time is over.
func (rd *reader) expire() {
	now := time.Now()
	t := min(now.UnixNano(), rd.hi)
	if !rd.cut(rd.reason, time.Unix(0, t)) {
		return // no slab is free: the next packet or look at the clock tries again
	}
	if rd.Cut.Empty {
		rd.period = rd.newPeriod(now.UnixNano())
	}
}

// cut ends the present file, if it has anything. It returns false where no
// slab was free to say so.
func (rd *reader) cut(reason Reason, t time.Time) bool {
	if rd.inFile == 0 && !rd.Cut.Empty {
		return true
	}
	ok := rd.sendMarked(func(s *slab) { s.cut, s.cutAt = reason, t })
	if ok {
		timed := rd.Cut.Interval > 0 || rd.Cut.Duration > 0
		rd.inFile = 0
		if timed {
			rd.period = unbegun
		}
	}
	return ok
}

// sendMarked hands on the slab, even an empty one, with a mark on it.
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

// aim looks where the sink's present file began, which by size or count it
// decides itself, and so where it may end.
func (rd *reader) aim() {
	before, start := rd.Sink.Current()
	if n := rd.Cut.Packets; n > 0 {
		rd.sealAt = before + ((rd.recorded-before)/n+1)*n
	}
	if rd.reason == ReasonDuration && start > rd.began {
		rd.began = start
		rd.period.hi = start + int64(rd.Cut.Duration)
		if rd.Cut.Interval > 0 {
			_, hi := rotate.IntervalBounds(time.Unix(0, start), rd.Cut.Interval)
			rd.hi = min(rd.hi, hi.UnixNano())
		}
	}
}
