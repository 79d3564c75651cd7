package recorder

import (
	"sync/atomic"

	"github.com/tunrec/tunrec/capfile"
)

// Stats are counts of packets since the recording began, where not said
// otherwise. When Run has returned,
//
//	Received = Recorded + Filtered + DroppedNoSlab + DroppedByWrite + AfterLimit + Undelivered
//
// and DroppedByQueue were sent into the device beside them. Before that, InMemory is
// what is missing on the right side.
type Stats struct {
	Received  uint64 // that the source delivered
	InMemory  uint64 // received, or waiting in the source, and not yet in the file
	Filtered  uint64 // rejected by the capture filter
	Truncated uint64 // cut to the snaplen

	DroppedByQueue uint64 // by the device's queue in the kernel, before the source
	QueueExact     bool   // false: the system knows only a lower bound of them
	DroppedNoSlab  uint64 // read, but no slab was free
	DroppedByWrite uint64 // read, but the file could not be written
	AfterLimit     uint64 // read before it was known that the last file was full
	Undelivered    uint64 // read for a reader of the stream who had gone

	Recorded      uint64                   // written to the file
	OriginalBytes uint64                   // their lengths on the wire added up
	ContentBytes  uint64                   // of pcapng blocks written
	StoredBytes   uint64                   // of these on disk, compressed
	Chunks        [capfile.Best + 1]uint64 // chunks written, by capfile.Method
}

// Lost is how many packets were lost, wherever it was.
func (s Stats) Lost() uint64 { return s.DroppedByQueue + s.LostAfterRead() }

// LostAfterRead is how many packets were lost after they had been read.
func (s Stats) LostAfterRead() uint64 { return s.DroppedNoSlab + s.DroppedByWrite }

// counters are what Stats is read from. Each is added to by one goroutine, the
// reader's once a burst, the writer's once a chunk.
type counters struct {
	// the reader's
	received, filtered, truncated, droppedByQueue, droppedNoSlab atomic.Uint64
	queueInexact                                                 atomic.Bool
	// the writer's
	recorded, droppedByWrite, afterLimit, undelivered atomic.Uint64
	originalBytes, contentBytes                       atomic.Uint64
	chunks                                            [capfile.Best + 1]atomic.Uint64
}

// Stats returns the counts as they are now. It may be called at any time, from
// any goroutine.
func (r *Recorder) Stats() Stats {
	c := &r.counters
	s := Stats{
		Received:       c.received.Load(),
		Filtered:       c.filtered.Load(),
		Truncated:      c.truncated.Load(),
		DroppedByQueue: c.droppedByQueue.Load(),
		QueueExact:     !c.queueInexact.Load(),
		DroppedNoSlab:  c.droppedNoSlab.Load(),
		DroppedByWrite: c.droppedByWrite.Load(),
		AfterLimit:     c.afterLimit.Load(),
		Undelivered:    c.undelivered.Load(),
		Recorded:       c.recorded.Load(),
		OriginalBytes:  c.originalBytes.Load(),
		ContentBytes:   c.contentBytes.Load(),
		StoredBytes:    r.Sink.Bytes(),
	}
	for i := range s.Chunks {
		s.Chunks[i] = c.chunks[i].Load()
	}
	came := s.Received
	if source, ok := r.Source.(interface{ Arrived() uint64 }); ok {
		came = max(came, source.Arrived())
	}
	// The counts are not of one moment: those of the writer may be ahead.
	if done := s.Recorded + s.Filtered + s.LostAfterRead() + s.AfterLimit + s.Undelivered; came > done {
		s.InMemory = came - done
	}
	return s
}
