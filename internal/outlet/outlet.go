// Package outlet writes messages for somebody who may not read them: a terminal
// that is stopped, a pipe nobody empties. Whoever sends a message never waits.
//
// A message goes into a bounded queue, and one goroutine writes the queue out. What
// does not fit is counted, and the count is told in its place once the reader reads
// again.
package outlet

import (
	"io"
	"sync"
	"time"
)

// Limits of the queue.
const (
	MaxMessages = 1024
	MaxBytes    = 256 << 10
)

// Outlet is a queue of messages and the goroutine that writes them. Until Start is
// called there is neither: messages are written by whoever sends them. All methods
// may be called from any goroutine. A nil Outlet takes messages and writes none.
type Outlet struct {
	w io.Writer
	// missed is the message that says how many were not shown; nil: none is.
	missed func(n uint64) string

	mu     sync.Mutex
	queue  []message
	bytes  int           // in queue
	lost   uint64        // messages that did not fit, since that was last told
	total  uint64        // messages that were never written
	status *string       // the rewritten line, where it has changed
	more   chan struct{} // wakes the goroutine; nil: not started
	wrote  uint64        // bytes, ever

	shown bool // the rewritten line is on the screen; the writer's
}

type message struct {
	text    string
	written chan struct{} // of a Flush: closed when everything before it has been written
}

// New returns an Outlet that writes to w.
func New(w io.Writer, missed func(n uint64) string) *Outlet {
	return &Outlet{w: w, missed: missed}
}

// Start makes sure that no sender waits from now on. The goroutine lasts as long as
// the process: where the reader never reads, nothing can end its write.
func (o *Outlet) Start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{}, 1)
		go o.run(o.more)
	}
}

// Send writes a message, one or more whole lines, or counts it where the queue is full.
func (o *Outlet) Send(text string) { o.send(text, false) }

// Insist is Send for what has to be read: it always finds a place in the queue. It is
// for a few messages, such as the last ones.
func (o *Outlet) Insist(text string) { o.send(text, true) }

// Write sends b as a message, and never fails (io.Writer).
func (o *Outlet) Write(b []byte) (int, error) {
	o.send(string(b), false)
	return len(b), nil
}

func (o *Outlet) send(text string, insist bool) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.write(text)
		return
	}
	if !insist && (len(o.queue) >= MaxMessages || o.bytes+len(text) > MaxBytes) {
		o.lost++
		return
	}
	o.tellLost()
	o.push(message{text: text})
}

// tellLost puts the count of what is missing where it is missing.
func (o *Outlet) tellLost() {
	if o.lost == 0 {
		return
	}
	o.total += o.lost
	if o.missed != nil {
		o.push(message{text: o.missed(o.lost)})
	}
	o.lost = 0
}

func (o *Outlet) push(m message) {
	o.queue = append(o.queue, m)
	o.bytes += len(m.text)
	o.wake()
}

func (o *Outlet) wake() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// Status rewrites one line of a terminal below all messages; "" takes it away. Only
// the latest is ever written.
func (o *Outlet) Status(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.rewrite(text)
		return
	}
	o.status = &text
	o.wake()
}

// Lost returns how many messages have not been shown, and will not be.
func (o *Outlet) Lost() uint64 {
	if o == nil {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total + o.lost
}

// run writes what is queued, for ever.
func (o *Outlet) run(more <-chan struct{}) {
	for range more {
		for o.next() {
		}
	}
}

// next writes the oldest message or, behind the last one, the rewritten line. It
// returns false where there is neither.
func (o *Outlet) next() bool {
	o.mu.Lock()
	if len(o.queue) == 0 {
		o.tellLost() // nothing came after it
	}
	if len(o.queue) > 0 {
		m := o.queue[0]
		o.queue = o.queue[1:]
		o.mu.Unlock()
		n := o.write(m.text) // may take for ever
		o.mu.Lock()
		o.bytes -= len(m.text) // only now: what is being written takes room, too
		o.wrote += uint64(n)
		o.mu.Unlock()
		if m.written != nil {
			close(m.written)
		}
		return true
	}
	status := o.status
	o.status = nil
	o.mu.Unlock()
	if status != nil {
		o.rewrite(*status)
	}
	return status != nil
}

const clearLine = "\r\x1b[K"

// write writes a message where the rewritten line was. There is nobody to tell of an
// error: it counts as not shown.
func (o *Outlet) write(text string) (n int) {
	if text == "" {
		return 0
	}
	if o.shown {
		text = clearLine + text
		o.shown = false
	}
	n, err := io.WriteString(o.w, text)
	if err != nil {
		o.failed()
	}
	return n
}

func (o *Outlet) failed() {
	if o.more == nil {
		o.total++ // the sender holds the lock
		return
	}
	o.mu.Lock()
	o.total++
	o.mu.Unlock()
}

func (o *Outlet) rewrite(text string) {
	if text == "" && !o.shown {
		return
	}
	_, _ = io.WriteString(o.w, clearLine+text) // the next one comes in a second
	o.shown = text != ""
}

// Flush waits until what has been sent is written, as long as the reader takes
// something every stall, but no longer than limit. It reports whether all was written.
func (o *Outlet) Flush(stall, limit time.Duration) bool {
	if o == nil {
		return true
	}
	o.mu.Lock()
	if o.more == nil {
		o.mu.Unlock()
		return true
	}
	o.tellLost()
	done := message{written: make(chan struct{})}
	o.push(done)
	before := o.wrote
	o.mu.Unlock()
	end := time.After(limit)
	for {
		select {
		case <-done.written:
			return true
		case <-end:
			return false
		case <-time.After(stall):
		}
		o.mu.Lock()
		stuck := o.wrote == before
		before = o.wrote
		o.mu.Unlock()
		if stuck {
			return false
		}
	}
}
