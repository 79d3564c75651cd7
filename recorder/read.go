package recorder

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
)

const (
	// maxStall is how long the reader waits for a free slab before it reads on
	// into the scratch buffer. Meanwhile packets wait in the device's queue,
	// which loses fewer than throwing away what it holds would; but each is
	// stamped when it is read, so this is also how late a stamp can be.
	maxStall = 50 * time.Millisecond
	// maxSettle is how long a stop waits for what is on its way to the source.
	maxSettle = 100 * time.Millisecond
	// scratchPoll is how often the reader looks for a free slab while nothing
	// comes in.
	scratchPoll = 10 * time.Millisecond
	// publishEvery is how many packets are counted before others may see the
	// count, where the source never pauses.
	publishEvery = 4096
)

// Requests to the reader, bits of Recorder.requests.
const (
	requestStop uint32 = 1 << iota
	requestEnd         // as a stop, but what the device still holds is not wanted
	requestFlush
	requestCut
	requestPing
)

// reader fills slabs from the source. All its fields belong to its goroutine.
type reader struct {
	*Recorder
	slab    *slab     // being filled; nil: none was free, packets go to scratch
	at      int       // where the next block goes in slab.memory
	lapped  bool      // the source's next block is not behind the last one
	scratch []byte    // takes packets that there is no slab for; made when first needed
	since   time.Time // when the slab's first packet was waiting to be sealed, zero: not yet
	drain   int       // packets that may still be read after a stop; <0: no stop yet
	waiting int       // packets read since a flush or the end of a file was asked for
	latest  int64     // time stamp of the last packet
	ended   int64     // the End of a file whose end has been told to the sink

	recorded   uint64 // packets put into slabs
	sealAt     uint64 // seal when recorded is this: a file may end there
	queue      uint64 // the device's drop count that has a place in a chunk
	queueAsked time.Time
	pending    tally // not yet in counters
	place      tally // not yet in a chunk
}

type tally struct{ received, filtered, truncated, noSlab, byQueue uint64 }

// read runs until the source ends or fails, the count is reached, or a stop
// was asked for and the source has nothing more.
func (r *Recorder) read() error {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	rd := &reader{Recorder: r, drain: -1, queueAsked: time.Now()}
	err := rd.run()
	rd.finish()
	return err
}

func (rd *reader) run() error {
	for {
		requests := rd.requests.Load()
		if requests != 0 && rd.handle(requests) {
			return nil
		}
		if rd.pending.received >= publishEvery {
			rd.keepTime(time.Unix(0, rd.latest)) // others that wait may be no later
		}
		if rd.slab == nil {
			rd.start(rd.take())
		}
		if rd.slab == nil && rd.Buffered {
			rd.askForQueue()
			continue // take has waited
		}
		n, origLen, unixNano, err := rd.next()
		if origLen > 0 {
			rd.latest = unixNano
		}
		switch {
		case n > 0:
			rd.accept(n, origLen, unixNano)
			if rd.Count > 0 && rd.recorded >= rd.Count {
				return nil
			}
		case origLen > 0:
			rd.pending.received++
			rd.pending.filtered++
			rd.place.filtered++
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case rd.drain >= 0:
			return nil // stopped, and the device holds nothing more
		case rd.answer(requests):
		default:
			if err := rd.pause(); err != nil {
				return err
			}
		}
	}
}

// handle does what was requested; true: reading is over.
func (rd *reader) handle(requests uint32) bool {
	if requests&requestPing != 0 {
		rd.requests.And(^requestPing)
	}
	if requests&(requestFlush|requestCut) != 0 {
		if rd.waiting++; rd.waiting > rd.DrainMax {
			rd.answer(requests)
		}
	}
	if requests&requestEnd != 0 {
		return true
	}
	if requests&requestStop == 0 {
		return false
	}
	if rd.drain < 0 {
		rd.drain = rd.DrainMax
		if rd.Shut != nil && rd.Shut(false) {
			rd.drain = math.MaxInt
		}
	}
	rd.drain-- // one more packet will be read
	return rd.drain < 0
}

// answer flushes or ends a file, where that was requested: once all has been read
// that was there by then. It returns false where it did nothing: without a free
// slab to carry it, a request stays.
func (rd *reader) answer(requests uint32) (done bool) {
	if requests&requestFlush != 0 && rd.sendMarked(func(s *slab) { s.sync = true }) {
		rd.requests.And(^requestFlush)
		done = true
	}
	if requests&requestCut != 0 && rd.cut(ReasonSignal, time.Now()) {
		rd.requests.And(^requestCut)
		done = true
	}
	if done {
		rd.waiting = 0
	}
	return done
}

// next has the next packet stand where its block in the slab has it.
func (rd *reader) next() (n, origLen int, unixNano int64, err error) {
	if rd.pool.lender == nil {
		return rd.Source.Next(rd.room(), rd.Filter)
	}
	block, origLen, unixNano, err := rd.pool.lender.Take()
	if block == nil {
		return 0, 0, 0, err
	}
	if rd.at == 0 {
		rd.slab.memory = block[:cap(block)]
	}
	rd.lapped = cap(block) == len(block)
	return origLen, origLen, unixNano, nil
}

// room is where the next packet goes.
func (rd *reader) room() []byte {
	if rd.slab == nil {
		return rd.scratch
	}
	return rd.slab.memory[rd.at+pcapng.PacketHeaderLen:][:maxPacket]
}

// accept makes a block of the packet that was read into room.
func (rd *reader) accept(n, origLen int, unixNano int64) {
	rd.pending.received++
	s := rd.slab
	if s == nil {
		rd.discard()
		return
	}
	if n > rd.Snaplen {
		n = rd.Snaplen
		rd.pending.truncated++
	}
	rd.at += pcapng.PutPacket(s.memory[rd.at:], n, origLen, unixNano)
	rd.recorded++
	s.Add(unixNano, origLen)
	if rd.at >= rd.full || rd.lapped || rd.recorded == rd.sealAt {
		rd.seal()
	}
}

// discard counts a packet that no slab was free for.
func (rd *reader) discard() {
	rd.pending.noSlab++
	rd.place.noSlab++
}

// take takes a free slab. Where there is none it waits, without end for a
// patient source, else for maxStall, and then returns nil: packets stay in a
// buffered source, or go to scratch, until one is free.
func (rd *reader) take() *slab {
	select {
	case s := <-rd.pool.free:
		return s
	default:
	}
	if rd.scratch != nil && !rd.Buffered {
		return nil // it has waited already
	}
	rd.publish()
	if rd.Patient {
		return <-rd.pool.free
	}
	select {
	case s := <-rd.pool.free:
		return s
	case <-time.After(maxStall):
		return nil
	}
}

// start begins to fill s, or scratch where s is nil.
func (rd *reader) start(s *slab) {
	rd.slab, rd.scratch = s, nil
	if s == nil {
		rd.scratch = rd.spare
		return
	}
	rd.at = 0
	rd.since = time.Time{}
	rd.aim()
	rd.askForQueue()
}

// pause waits for packets, where nothing is due.
func (rd *reader) pause() error {
	due := rd.keepTime(time.Now())
	if due == 0 {
		return nil
	}
	if err := rd.Source.Wait(due); err != nil {
		return fmt.Errorf("wait for packets: %w", err)
	}
	return nil
}

// keepTime does what is due: it seals a slab that has waited long enough, or ends
// a file whose time is over, of which all packets before now have been read. It
// returns 0 then, else how long nothing will be due, <0: for ever.
func (rd *reader) keepTime(now time.Time) (due time.Duration) {
	rd.publish()
	rd.askForQueue()
	due = -1
	switch {
	case rd.slab == nil:
		due = scratchPoll
	case rd.at > 0:
		if due = rd.untilSeal(); due == 0 {
			rd.seal()
			return 0
		}
	}
	if left, ok := rd.left(now); ok {
		if left <= 0 {
			rd.expire(now)
			return 0
		}
		if due < 0 || left < due {
			due = left
		}
	}
	return due
}

// untilSeal returns how long packets may still be added to those in the slab.
func (rd *reader) untilSeal() time.Duration {
	now := time.Now()
	if rd.since.IsZero() {
		rd.since = now
	}
	left := max(0, rd.since.Add(rd.FlushInterval).Sub(now))
	// While slabs wait to be written, sealing one early would use up slabs and
	// make nothing readable sooner.
	if left == 0 && len(rd.pool.free) < rd.Slabs/2 {
		return scratchPoll
	}
	return left
}

// seal hands the slab on, if it holds anything. Both channels have room for
// every slab there is, so this never blocks.
func (rd *reader) seal() {
	if rd.slab != nil && rd.at > 0 {
		rd.send(rd.slab)
	}
}

func (rd *reader) send(s *slab) {
	rd.placeQueue()
	rd.publish()
	s.Content = s.memory[:rd.at]
	if rd.pool.lender != nil {
		s.memory = s.Content // what is behind belongs to the next slab
	}
	s.Filtered, s.Dropped, s.DroppedByQueue = rd.place.filtered, rd.place.noSlab, rd.place.byQueue
	rd.place = tally{}
	rd.slab = nil
	rd.order <- s
	if rd.Form == capfile.Zstd {
		rd.work <- s
	}
}

// placeQueue gives what the device's queue has dropped, as far as is known, a
// place in the next chunk.
func (rd *reader) placeQueue() {
	dropped := rd.counters.droppedByQueue.Load()
	rd.place.byQueue += dropped - rd.queue
	rd.queue = dropped
}

// askForQueue asks for a new drop count, at most once a flush interval. The
// kernel may let us wait for a lock of its whole network stack, so the
// question is put from another goroutine.
func (rd *reader) askForQueue() {
	if t := time.Now(); t.Sub(rd.queueAsked) >= max(rd.FlushInterval, scratchPoll) {
		rd.queueAsked = t
		select {
		case rd.askQueue <- struct{}{}:
		default: // the last request is still being answered
		}
	}
}

// watchQueue reads the device's drop count whenever the reader asks for it,
// and a last time when the reader has ended.
func (r *Recorder) watchQueue() {
	defer close(r.queueWatched)
	for range r.askQueue {
		r.readQueue()
	}
	r.readQueue()
}

func (r *Recorder) readQueue() {
	n, exact, err := r.Source.Drops()
	if err != nil || !exact {
		r.counters.queueInexact.Store(true)
	}
	if err == nil && n > r.counters.droppedByQueue.Load() {
		r.counters.droppedByQueue.Store(n)
	}
}

// finish hands on the last slab. Counts that belong to no packet go into a
// chunk without any.
func (rd *reader) finish() {
	if rd.Shut != nil {
		rd.Shut(true)
	}
	if rd.slab == nil {
		rd.start(<-rd.pool.free)
	}
	close(rd.askQueue)
	<-rd.queueWatched
	rd.send(rd.slab)
	close(rd.order)
	close(rd.work)
}

// publish adds what was counted since the last time to the shared counters.
func (rd *reader) publish() {
	p := &rd.pending
	if p.received == 0 {
		return
	}
	rd.counters.received.Add(p.received)
	rd.counters.filtered.Add(p.filtered)
	rd.counters.truncated.Add(p.truncated)
	rd.counters.droppedNoSlab.Add(p.noSlab)
	*p = tally{}
}
