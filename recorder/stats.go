package recorder

import (
	"sync/atomic"

	"github.com/tunrec/tunrec/capfile"
)

// Stats are counts of packets since the recording began, where not said
// otherwise. When Run has returned,
//
//	Received = Recorded + Filtered + DroppedByQueue + DroppedNoSlab + DroppedByWrite
//
// and the Interface Statistics Blocks of all files that were written add up to the
// same (isb_ifrecv; draft-ietf-opsawg-pcapng §4.6). Before that, InMemory is what is
// missing on the right side.
type Stats struct {
	Received  uint64 // that came to the source, lost ones too
	InMemory  uint64 // received, or waiting in the source, and not yet in the file
	Filtered  uint64 // rejected by the capture filter
	Truncated uint64 // cut to the snaplen

	DroppedByQueue uint64 // by the device's queue in the kernel, before the source
	QueueExact     bool   // false: the system knows only a lower bound of them
	DroppedNoSlab  uint64 // read, but no slab was free
	DroppedByWrite uint64 // read, but the file could not be written
	AfterLimit     uint64 // read before it was known that the sink wants no more: in no other count

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
	received, filtered, truncated, droppedByQueue, droppedNoSlab atomic.Uint64 // received: that the source delivered
	queueInexact                                                 atomic.Bool
	// the writer's
	recorded, droppedByWrite    atomic.Uint64
	afterLimit                  struct{ packets, filtered, byQueue, noSlab atomic.Uint64 }
	originalBytes, contentBytes atomic.Uint64
	chunks                      [capfile.Best + 1]atomic.Uint64
}

// Stats returns the counts as they are now. It may be called at any time, from
// any goroutine.
func (r *Recorder) Stats() Stats {
	c := &r.counters
	after := &c.afterLimit // first: it is never more than what it is taken from
	filtered, byQueue, noSlab := after.filtered.Load(), after.byQueue.Load(), after.noSlab.Load()
	s := Stats{
		AfterLimit:     after.packets.Load(),
		Filtered:       c.filtered.Load() - filtered,
		Truncated:      c.truncated.Load(),
		DroppedByQueue: c.droppedByQueue.Load() - byQueue,
		QueueExact:     !c.queueInexact.Load(),
		DroppedNoSlab:  c.droppedNoSlab.Load() - noSlab,
		DroppedByWrite: c.droppedByWrite.Load(),
		Recorded:       c.recorded.Load(),
		OriginalBytes:  c.originalBytes.Load(),
		ContentBytes:   c.contentBytes.Load(),
		StoredBytes:    r.Sink.Bytes(),
	}
	delivered := c.received.Load() - s.AfterLimit - filtered - noSlab
	s.Received = delivered + s.DroppedByQueue
	for i := range s.Chunks {
		s.Chunks[i] = c.chunks[i].Load()
	}
	came := delivered
	select {
	case <-r.queueWatched: // the reader has ended: what waits in the source is not wanted
	default:
		if source, ok := r.Source.(interface{ Arrived() uint64 }); ok && s.AfterLimit == 0 {
			came = max(came, source.Arrived())
		}
	}
	// The counts are not of one moment: those of the writer may be ahead.
	if done := s.Recorded + s.Filtered + s.LostAfterRead(); came > done {
		s.InMemory = came - done
	}
	return s
}
