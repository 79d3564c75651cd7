// Package recorder moves packets from a source into a capture file.
//
//	source ──read──▶ slab ──seal──▶ compress (n workers) ──in order──▶ sink
//
// A way through the files, in the order in which a packet meets them: read.go
// (the reader fills slabs in place; period.go is its timer), compress.go
// (workers), write.go (the writer), sink.go (the boundary, and a pipe behind
// it), files.go (a file or a series behind it), fit.go (where files end),
// persist.go (writing, and trying again), close.go (what is done with complete
// files), event.go. slab.go holds the memory, stats.go the counts. Every
// goroutine is started here.
package recorder

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tunrec/tunrec/capfile"
)

// Recorder records once.
type Recorder struct {
	Config
	pool *pool
	full int // a slab with so many bytes is sealed

	// order and work carry every sealed slab, oldest first, to the writer and,
	// to be compressed, to the workers. Both have room for all slabs; the reader
	// closes them.
	order, work chan *slab
	requests    atomic.Uint32 // to the reader

	// askQueue asks for the device's drop count; the reader closes it.
	// queueWatched is closed when the last answer is there.
	askQueue     chan struct{}
	queueWatched chan struct{}

	unwritten atomic.Int32 // compressed slabs that wait for the writer
	spare     []byte       // the reader's scratch buffer

	counters counters
}

// New returns a Recorder. It takes all memory that packets will stand in, and
// neither reads nor writes.
func New(c Config) (*Recorder, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	full := c.SlabBytes
	if lender := c.lender(); lender != nil { // while some slabs are on their way there is to be room for more
		full = min(full, lender.Room()/8)
		c.Slabs = max(MinSlabs, min(c.Slabs, lender.Room()/full))
	}
	pool := newPool(c)
	return &Recorder{
		Config: c,
		pool:   pool,
		full:   full,
		order:  make(chan *slab, c.Slabs),
		work:   make(chan *slab, c.Slabs),
		spare:  make([]byte, maxPacket),

		askQueue:     make(chan struct{}, 1),
		queueWatched: make(chan struct{}),
	}, nil
}

// Run records until the source ends, the count is reached, ctx is done or
// something fails. What was read is written and the sink is closed when it
// returns; all goroutines have ended. The source is left open.
//
// A done ctx is a stop, not an error: Run reads what the device still holds,
// DrainMax packets at the most.
func (r *Recorder) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	noStop := context.AfterFunc(ctx, func() { defer close(stopped); r.stop() })
	defer func() {
		if !noStop() {
			<-stopped
		}
	}()

	var all sync.WaitGroup
	var readErr, writeErr error
	all.Go(func() { readErr = r.read() })
	all.Go(r.watchQueue)
	if r.Form == capfile.Zstd {
		for range r.Workers {
			all.Go(r.compress)
		}
	}
	all.Go(func() { writeErr = r.write() })
	for _, f := range r.Sink.Background() {
		all.Go(f)
	}
	all.Wait()

	if readErr != nil {
		readErr = fmt.Errorf("read packets: %w", readErr)
	}
	return errors.Join(readErr, writeErr)
}

// Flush makes every packet received so far readable in the file soon, and
// safe on its disk.
func (r *Recorder) Flush() { r.request(requestFlush) }

// EndFile ends the present file of a series: what comes from now on is in the
// next one.
func (r *Recorder) EndFile() { r.request(requestCut) }

// Ping asks the reader for a sign of life, and tells whether it has answered
// the call before: for a watchdog that calls every some seconds. A reader that
// has ended counts as alive, since the writing may go on for long.
func (r *Recorder) Ping() (answered bool) {
	select {
	case <-r.queueWatched:
		return true
	default:
	}
	answered = r.requests.Load()&requestPing == 0
	r.request(requestPing)
	return answered
}

// stop ends the reading, as soon as what was sent before can be read. Where
// that cannot be had, it is read as far as it is there.
func (r *Recorder) stop() {
	if r.Settle != nil {
		_ = r.Settle(maxSettle)
	}
	r.request(requestStop)
}

func (r *Recorder) request(bit uint32) {
	if r.requests.Or(bit)&bit == 0 {
		r.Source.Wake()
	}
}
