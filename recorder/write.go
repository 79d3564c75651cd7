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
	var counts capfile.Entry // of chunks that were not written
	var end int64            // of the present file's time
	grown := 0               // how many more slabs waited after the last write than before it
	busy := 0                // writes since the writer last had to wait, for a worker or for a slab
	many := r.Slabs / 4
	// So many may have been compressed, while one took long, that the writer need not
	// wait for them although it is quick.
	atOnce := r.Workers + spareBuffers
	for s := range r.order {
		busy++
		if r.Form != capfile.Zstd {
			s.Hash() // that takes less than to wake a worker for it
		} else {
			select {
			case <-s.ready:
			default:
				<-s.ready
				busy = 0
			}
			r.unwritten.Add(-1)
		}
		waiting := len(r.order)
		if waiting == 0 {
			busy = 0
		}
		behind := waiting >= many && (grown >= many || busy > atOnce)
		unwritten := s.Entry
		if failed == nil {
			failed = r.writeSlab(s, behind, &unwritten)
			grown = len(r.order) - waiting
		}
		switch {
		case failed == nil:
		case errors.Is(failed, ErrEnough):
			r.countAfterLimit(&unwritten)
			r.request(requestEnd)
		default:
			r.counters.droppedByWrite.Add(uint64(unwritten.Packets))
			lost += uint64(unwritten.Packets)
			counts.AddCounts(&unwritten)
			r.request(requestStop)
		}
		if e := r.Sink.Current().End; e != end {
			end = e
			r.Source.Wake() // the reader has the timer
		}
		r.pool.release(s)
	}
	if errors.Is(failed, ErrEnough) {
		failed = nil
	}
	err := r.Sink.Close(time.Now(), lost, counts)
	if failed != nil && err != nil && failed.Error() == err.Error() {
		return err // the file could not be ended for the same reason
	}
	return errors.Join(failed, err)
}

// writeSlab writes what s holds and does what it asks for. It takes what was
// written from unwritten: its packets, and with the first of them the counts.
func (r *Recorder) writeSlab(s *slab, behind bool, unwritten *capfile.Entry) error {
	if s.err != nil {
		return s.err
	}
	if s.Packets > 0 || s.Filtered+s.Dropped+s.DroppedByQueue > 0 {
		err := r.Sink.WriteChunk(&s.Chunk, behind, func(e *capfile.Entry) {
			*unwritten = capfile.Entry{Packets: unwritten.Packets - e.Packets}
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

func (r *Recorder) countAfterLimit(e *capfile.Entry) {
	after := &r.counters.afterLimit
	after.packets.Add(uint64(e.Packets))
	after.filtered.Add(e.Filtered)
	after.byQueue.Add(e.DroppedByQueue)
	after.noSlab.Add(e.Dropped)
}

func (r *Recorder) countWritten(e *capfile.Entry) {
	c := &r.counters
	c.recorded.Add(uint64(e.Packets))
	c.originalBytes.Add(e.OriginalBytes)
	c.contentBytes.Add(uint64(e.ContentLen))
	c.chunks[e.Method].Add(1)
}
