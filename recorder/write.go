package recorder

import (
	"errors"
	"time"

	"github.com/tunrec/tunrec/capfile"
)

// write writes the slabs in the order in which they were sealed, and closes
// the sink. After an error it goes on only to count what is lost.
func (r *Recorder) write(start time.Time) error {
	var failed error
	var lost uint64
	for s := range r.order {
		<-s.ready
		if r.Form == capfile.Zstd {
			r.unwritten.Add(-1)
		}
		if failed == nil {
			failed = s.err
		}
		if failed == nil {
			failed = r.Sink.WriteChunk(&s.Chunk)
		}
		if failed != nil {
			r.counters.droppedByWrite.Add(uint64(s.Packets))
			lost += uint64(s.Packets)
			r.stop()
		} else {
			r.countWritten(&s.Entry)
		}
		r.pool.release(s)
	}
	err := r.Sink.Close(capfile.End{Start: start.UnixNano(), Stop: time.Now().UnixNano(), Lost: lost})
	if failed != nil && errors.Is(err, failed) {
		return err
	}
	return errors.Join(failed, err)
}

func (r *Recorder) countWritten(e *capfile.Entry) {
	c := &r.counters
	c.recorded.Add(uint64(e.Packets))
	c.originalBytes.Add(e.OriginalBytes)
	c.contentBytes.Add(uint64(e.ContentLen))
	c.storedBytes.Add(uint64(e.StoredLen))
	c.chunks[e.Method].Add(1)
}
