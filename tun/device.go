package tun

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// ErrDeleted is the error of Next and Wait after somebody has deleted the device.
var ErrDeleted = errors.New("the device has been deleted")

// Device is a TUN device of our own, and the Ingest that takes its packets: off
// its descriptor, or on Linux out of a ring.
//
// With a ring the system counts every packet as one that the device has dropped
// (tx_dropped, as `ip -s link` shows it).
type Device struct {
	name     string
	holds    int
	ingest   IngestKind
	attached bool   // to a device that exists without us
	reason   string // for that ingest

	rx     receiver
	lender lender // rx, where it is a ring
	waiter waiter
	poll   *poller      // owns the descriptors
	shut   func() error // lets nothing more in; nil: only closing the descriptor does
	free   func() error // frees what else there is; nil: nothing

	mu        sync.Mutex // guards what follows, which any goroutine may ask for
	drops     dropCounter
	notice    func(why string) // nil: nobody listens, or it has been called
	stopped   *dropCount       // what Drops returns since Shut
	afterStop uint64
}

type dropCount struct {
	n     uint64
	exact bool
}

// receiver takes packets as Ingest.Next does, but returns the bare error of the
// system.
type receiver interface {
	receive(dst []byte, keep keeper) (n, origLen int, unixNano int64, err error)
}

// keeper is what Ingest.Next calls keep; nil keeps all.
type keeper func(packet []byte, origLen int) bool

// kept returns what receive does, where the packet of n bytes has just been
// read into dst.
func (keep keeper) kept(dst []byte, n int) (int, int, int64, error) {
	unixNano := time.Now().UnixNano()
	if keep != nil && !keep(dst[:n], n) {
		return 0, n, unixNano, nil
	}
	return n, n, unixNano, nil
}

// lender does what InPlace does, but returns the bare error of the system.
type lender interface {
	room() int
	take() (block []byte, origLen int, unixNano int64, err error)
	giveBack(n int)
}

// waiter waits as Ingest.Wait does, but returns the bare error of the system.
type waiter interface {
	wait(timeout time.Duration) error
}

// dropCounter knows the system's count of lost packets.
type dropCounter interface {
	count() (n uint64, exact bool, err error)
	inexact() string // what was heard of that makes it a lower bound, or ""
	close()
}

var _ InPlace = (*Device)(nil)

// Name returns the name of the device.
func (d *Device) Name() string { return d.name }

// IngestName returns how packets are taken from the device: "read" or "ring".
func (d *Device) IngestName() string { return d.ingest.String() }

// IngestReason returns why, in a phrase that can stand after "because".
func (d *Device) IngestReason() string { return d.reason }

// HoldsPackets returns how many packets can wait for Next at the most: so many
// are enough to be read after a stop.
func (d *Device) HoldsPackets() int { return d.holds }

// Buffered tells whether packets wait in a ring: with their times, until they
// are read. Those that find no room are counted as dropped.
func (d *Device) Buffered() bool { return d.ingest == IngestRing }

// Attached tells whether the device was there before, and stays.
func (d *Device) Attached() bool { return d.attached }

// Next implements Ingest. With a ring, the time is the kernel's, of when the
// device was given the packet.
func (d *Device) Next(dst []byte, keep func(packet []byte, origLen int) bool) (n, origLen int, unixNano int64, err error) {
	n, origLen, unixNano, err = d.rx.receive(dst, keep)
	if err != nil {
		return 0, 0, 0, d.broken("read from", err)
	}
	return n, origLen, unixNano, nil
}

// Room implements InPlace: of a ring; 0 without one.
func (d *Device) Room() int {
	if d.lender == nil {
		return 0
	}
	return d.lender.room()
}

// Take implements InPlace, with a ring (see Buffered).
func (d *Device) Take() (block []byte, origLen int, unixNano int64, err error) {
	block, origLen, unixNano, err = d.lender.take()
	if err != nil {
		return nil, 0, 0, d.broken("read from", err)
	}
	return block, origLen, unixNano, nil
}

// GiveBack implements InPlace, with a ring.
func (d *Device) GiveBack(n int) { d.lender.giveBack(n) }

// Wait implements Ingest. It is precise to the millisecond, and never short.
func (d *Device) Wait(timeout time.Duration) error {
	if err := d.waiter.wait(timeout); err != nil {
		return d.broken("wait for", err)
	}
	return nil
}

func (d *Device) broken(doing string, err error) error {
	return fmt.Errorf("%s device %s: %w", doing, d.name, err)
}

// Wake implements Ingest.
func (d *Device) Wake() { d.poll.Wake() }

// Drops implements Ingest. On Linux it is the growth of the device's tx_dropped,
// or with a ring what found no room there and what was lost on the way; on macOS
// that of ifm_snd_drops and ifi_oerrors, a lower bound.
//
// On Linux, what the queueing discipline drops is added, where several senders at
// once fill that of a device with a ring, or of one that was there before. The sum
// is a lower bound then, because one drop there may be of many packets that a
// sender handed over as one (UDP_SEGMENT, TCP). So it is after something that has
// the kernel throw packets away uncounted, which Config.Notice is told of. Else it
// is exact.
//
// After Shut it stays as it is.
func (d *Device) Drops() (n uint64, exact bool, err error) {
	d.mu.Lock()
	n, exact, err = d.countDrops()
	tell := d.news()
	d.mu.Unlock()
	tell()
	if err != nil {
		return 0, false, fmt.Errorf("drops of device %s: %w", d.name, err)
	}
	return n, exact, nil
}

func (d *Device) countDrops() (n uint64, exact bool, err error) {
	switch {
	case d.stopped != nil:
		return d.stopped.n, d.stopped.exact, nil
	case d.drops == nil:
		return 0, false, os.ErrClosed
	}
	return d.drops.count()
}

// news is the call of notice that is due, to be made without the lock.
func (d *Device) news() (tell func()) {
	notice, why := d.notice, ""
	if notice != nil && d.drops != nil && d.stopped == nil {
		why = d.drops.inexact()
	}
	if why == "" {
		return func() {}
	}
	d.notice = nil
	return func() { notice(why) }
}

// Arrived returns how many packets have been put where Next takes them from, where
// the system says so (a ring); else, and while Drops or Settle asks the kernel, 0. What
// has arrived and was not returned by Next waits there.
func (d *Device) Arrived() uint64 {
	if !d.mu.TryLock() {
		return 0 // who asks for counts is not to wait for a lock of the whole network stack
	}
	defer d.mu.Unlock()
	r, ok := d.drops.(interface{ arrived() uint64 })
	if !ok {
		return 0
	}
	return r.arrived()
}

// Settle waits until the device has been given what senders have already handed
// to the kernel, limit at the most. Before the last packets are read, that is
// what makes sure of them: where several senders meet, packets may wait in its
// queueing discipline (Linux; it does nothing elsewhere).
// Calls of Drops and Close wait for it.
func (d *Device) Settle(limit time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.drops.(interface{ settle(time.Duration) error })
	if !ok {
		return nil
	}
	if err := s.settle(limit); err != nil {
		return fmt.Errorf("queue of device %s: %w", d.name, err)
	}
	return nil
}

// Shut ends a device of our own at a stop, in two steps, so that every packet that is
// sent into it can be read or is counted. It is for the goroutine that calls Next.
//
// First, with read false, the count of Drops stands, and nothing more gets in, where
// the system can do that (closed): what is there is to be read without a limit
// then. With a ring the device is gone already, with its addresses and routes.
// Second, when all has been read, the device goes. AfterStop counts what was lost on
// the way. What is left out of either count is what a sender hands over in between:
// where closed was false; and of several packets that it hands over as one
// (UDP_SEGMENT, TCP) all but one.
//
// A device that was there before stays as it is, open for its senders.
func (d *Device) Shut(read bool) (closed bool) {
	d.mu.Lock()
	tell := func() {}
	if !d.attached && d.drops != nil {
		tell = d.stopCounting()
		closed = d.shutOff(read)
	}
	d.mu.Unlock()
	tell()
	return closed
}

func (d *Device) stopCounting() (tell func()) {
	n, exact, err := d.countDrops()
	tell = d.news()
	d.stopped = &dropCount{n, exact && err == nil}
	return tell
}

func (d *Device) shutOff(read bool) (closed bool) {
	if !read {
		return d.shut != nil && d.shut() == nil
	}
	_ = d.poll.closeDevice() // its error would be of what was written
	if n, _, err := d.drops.count(); err == nil && n > d.stopped.n {
		d.afterStop = n - d.stopped.n
	}
	return true
}

// AfterStop returns how many packets were sent into the device after the first call
// of Shut and did not get through to Next, before it was gone.
func (d *Device) AfterStop() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.afterStop
}

// Close implements Ingest and removes the device. A second Close does nothing.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drops == nil {
		return nil
	}
	d.drops.close()
	d.drops = nil
	err := d.poll.close()
	if d.free != nil {
		err = errors.Join(err, d.free())
	}
	if err != nil {
		return fmt.Errorf("close device %s: %w", d.name, err)
	}
	return nil
}
