package recorder

import (
	"errors"
	"math"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/rotate"
)

// What fits into a file: its time, its packets, its size.

// span is the stretch of time whose packets go into one file: time stamps from
// lo to before hi.
type span struct {
	lo, hi int64
	reason Reason // why it ends at hi
}

func (p span) has(unixNano int64) bool { return unixNano >= p.lo && unixNano < p.hi }

// spanFrom is the time of a file that begins then.
func (s *FileSink) spanFrom(unixNano int64) span {
	p := span{lo: math.MinInt64, hi: math.MaxInt64}
	if s.Policy.Interval > 0 {
		lo, hi := rotate.IntervalBounds(time.Unix(0, unixNano), s.Policy.Interval)
		p = span{lo.UnixNano(), hi.UnixNano(), ReasonInterval}
	}
	if d := int64(s.Policy.Duration); d > 0 && unixNano+d < p.hi {
		p = span{max(p.lo, unixNano), unixNano + d, ReasonDuration}
	}
	if s.Unordered {
		p.lo = math.MinInt64
	}
	return p
}

// fit makes room for c: it ends the current file where c has no place in it,
// and returns how many packets of c to try.
func (s *FileSink) fit(c *capfile.Chunk) (uint32, error) {
	if c.Packets == 0 {
		return 0, s.makePlace(c)
	}
	for {
		take, err := s.inTime(c)
		if err != nil {
			return 0, err
		}
		if n := s.Policy.Packets; n > 0 {
			if s.current != nil {
				n -= s.current.packets
			}
			take = uint32(min(uint64(take), n))
		}
		limit := s.tooLong(c)
		switch {
		case limit == 0:
			return take, nil
		case s.fresh():
			// Of one packet checkLimits knows that it fits.
			return max(1, min(take, s.share(c, limit))), nil
		case s.current.Size() < limit*7/8 && s.share(c, limit) > 0:
			return min(take, s.share(c, limit)), nil // limits that are small beside a chunk
		case limit == s.Stop.FileBytes:
			return 0, ErrEnough
		}
		if err := s.endFile(ReasonFilesize, c.Earliest); err != nil {
			return 0, err
		}
	}
}

// makePlace makes room for a chunk without packets.
func (s *FileSink) makePlace(c *capfile.Chunk) error {
	if s.fresh() || s.tooLong(c) == 0 {
		return nil
	}
	return s.endFile(ReasonFilesize, time.Now().UnixNano())
}

// fresh tells whether the current file, or the one to be opened, has no chunk.
func (s *FileSink) fresh() bool { return s.current == nil || s.current.Size() == s.empty.Size() }

// inTime ends the current file where the first packet of c is not of its time,
// and returns how many packets of c follow that are of the file's.
func (s *FileSink) inTime(c *capfile.Chunk) (uint32, error) {
	if s.Policy.Interval == 0 && s.Policy.Duration == 0 {
		return c.Packets, nil
	}
	first := firstStamp(c)
	for s.current != nil && !s.current.span.has(first) {
		f := s.current
		if err := s.endFile(f.span.reason, min(first, f.span.hi)); err != nil {
			return 0, err
		}
		if s.EmptyFiles && first >= f.span.hi {
			err := s.openNext(time.Unix(0, f.span.hi))
			if errors.Is(err, ErrEnough) {
				return 0, err
			}
			if err != nil {
				s.begin(DoingWrite, err)
				break // persist tries again
			}
		}
	}
	p := s.spanFrom(first)
	if s.current != nil {
		p = s.current.span
	}
	if p.has(c.Earliest) && p.has(c.Latest) {
		return c.Packets, nil
	}
	return countUntil(c, func(unixNano int64) bool { return !p.has(unixNano) }), nil
}

// firstStamp is the time stamp of the chunk's first packet.
func firstStamp(c *capfile.Chunk) int64 {
	p, _, _ := pcapng.ParsePacket(c.Content)
	return p.UnixNano
}

// countUntil counts the packets before the first one with such a time stamp.
func countUntil(c *capfile.Chunk, stop func(unixNano int64) bool) (n uint32) {
	content := c.Content
	for n < c.Packets {
		p, length, ok := pcapng.ParsePacket(content)
		if !ok || stop(p.UnixNano) {
			break
		}
		content = content[length:]
		n++
	}
	return n
}

// writer writes the current file, or is as that of a new one.
func (s *FileSink) writer() *capfile.Writer {
	if s.current != nil {
		return s.current.Writer
	}
	return s.empty
}

// tooLong returns the limit that the file would exceed with c; 0: none.
func (s *FileSink) tooLong(c *capfile.Chunk) uint64 {
	size := s.writer().SizeWith(c)
	for _, limit := range []uint64{s.Stop.FileBytes, s.Policy.FileBytes} {
		if limit > 0 && size > limit {
			return limit
		}
	}
	return 0
}

// share guesses how many packets of c fit under limit; it is asked again where
// they do not.
func (s *FileSink) share(c *capfile.Chunk, limit uint64) uint32 {
	w := s.writer()
	without := w.SizeWith(nil)
	if without >= limit {
		return 0
	}
	return uint32(uint64(c.Packets) * (limit - without) / (w.SizeWith(c) - without) * 15 / 16)
}
