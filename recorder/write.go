package recorder

import (
	"errors"
	"time"

	"github.com/tunrec/tunrec/capfile"
)

// write writes the slabs in the order in which they were sealed, and closes
// the sink. After an error it goes on only to count what is lost.
func (r *Recorder) write() error {
	var failed error
	var lost uint64
	for s := range r.order {
		<-s.ready
		if r.Form == capfile.Zstd {
			r.unwritten.Add(-1)
		}
		unwritten := s.Packets
		if failed == nil {
			failed = r.writeSlab(s, &unwritten)
		}
		switch {
		case failed == nil:
		case errors.Is(failed, ErrEnough):
			r.counters.afterLimit.Add(uint64(unwritten))
			r.request(requestEnd)
		default:
			r.counters.droppedByWrite.Add(uint64(unwritten))
			lost += uint64(unwritten)
			r.stop()
		}
		r.pool.release(s)
	}
	if errors.Is(failed, ErrEnough) {
		failed = nil
	}
	return errors.Join(failed, r.Sink.Close(time.Now(), lost))
}

// writeSlab writes what s holds and does what it asks for. It takes the
// packets that were written from unwritten.
func (r *Recorder) writeSlab(s *slab, unwritten *uint32) error {
	if s.err != nil {
		return s.err
	}
	if s.Packets > 0 || s.Filtered+s.Dropped+s.DroppedByQueue > 0 {
		err := r.Sink.WriteChunk(&s.Chunk, func(e *capfile.Entry) {
			*unwritten -= e.Packets
			r.countWritten(e)
		})
		if err != nil {
			return err
		}
	}
	if s.cut != "" {
		return r.Sink.Cut(s.cut, s.cutAt)
	}
	if s.sync {
		return r.Sink.SyncNow()
	}
	return nil
}

func (r *Recorder) countWritten(e *capfile.Entry) {
	c := &r.counters
	c.recorded.Add(uint64(e.Packets))
	c.originalBytes.Add(e.OriginalBytes)
	c.contentBytes.Add(uint64(e.ContentLen))
	c.chunks[e.Method].Add(1)
}
