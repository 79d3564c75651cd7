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
	free   func() error // frees what else rx holds; nil: nothing

	mu    sync.Mutex // guards drops, which any goroutine may ask for
	drops dropCounter
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
// sender handed over as one (UDP_SEGMENT, TCP); else it is exact.
func (d *Device) Drops() (n uint64, exact bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drops == nil {
		return 0, false, fmt.Errorf("drops of device %s: %w", d.name, os.ErrClosed)
	}
	n, exact, err = d.drops.count()
	if err != nil {
		return 0, false, fmt.Errorf("drops of device %s: %w", d.name, err)
	}
	return n, exact, nil
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
