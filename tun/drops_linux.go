package tun

import (
	"errors"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkDrops adds up where a device loses packets: its tx_dropped and what its
// queueing discipline drops, which is missing there. Both are read by netlink, on
// a socket that stays in the network namespace it was opened in and needs no
// privilege.
type linkDrops struct {
	nl    *netlink.Handle
	index int
	watch *watch
	base  uint64 // tx_dropped at open

	queue   uint64 // dropped by queueing disciplines since
	counter uint32 // of the present one, when last read
}

// newLinkDrops counts from now on. resizes is as for newWatch. It does not close nl
// where it fails.
func newLinkDrops(nl *netlink.Handle, index int, resizes bool) (_ *linkDrops, err error) {
	link, err := nl.LinkByIndex(index)
	if err != nil {
		return nil, err
	}
	l := &linkDrops{nl: nl, index: index}
	if l.watch, err = newWatch(link, resizes); err != nil {
		return nil, err
	}
	queue, err := rootQueue(nl, index)
	if err == nil {
		l.counter = queue.Drops
		l.base, err = txDropped(nl, index)
	}
	if err != nil {
		l.watch.close()
		return nil, err
	}
	return l, nil
}

// count is exact where no queueing discipline has dropped anything: what it
// counts as one may be many packets (see Device.Drops).
func (l *linkDrops) count() (n uint64, exact bool, err error) {
	now, err := l.dropped()
	if err != nil {
		return 0, false, err
	}
	queue, err := l.queued()
	return now + queue, queue == 0 && l.inexact() == "", err
}

// inexact says what has made the count a lower bound; "": nothing that was heard of
// by the last count.
func (l *linkDrops) inexact() string { return l.watch.why }

// dropped is the growth of tx_dropped, and of a device that is gone what it came to.
func (l *linkDrops) dropped() (uint64, error) {
	l.watch.look()
	if final := l.watch.final; final != nil {
		return final.TxDropped - l.base, nil
	}
	now, err := txDropped(l.nl, l.index)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		if l.watch.look(); l.watch.final != nil { // it has just gone
			return l.watch.final.TxDropped - l.base, nil
		}
	}
	return now - l.base, err
}

// queued counts what queueing disciplines have dropped.
func (l *linkDrops) queued() (uint64, error) {
	if l.watch.final != nil {
		return l.queue, nil
	}
	queue, err := rootQueue(l.nl, l.index)
	if err != nil {
		return 0, err
	}
	if queue.Drops < l.counter { // somebody has put another in its place
		l.counter = 0
	}
	l.queue += uint64(queue.Drops - l.counter)
	l.counter = queue.Drops
	return l.queue, nil
}

func (l *linkDrops) close() {
	l.watch.close()
	l.nl.Close()
}

func txDropped(nl *netlink.Handle, index int) (uint64, error) {
	link, err := nl.LinkByIndex(index)
	if err != nil {
		return 0, err
	}
	stats := link.Attrs().Statistics
	if stats == nil {
		return 0, errors.New("the kernel gave no statistics")
	}
	return stats.TxDropped, nil
}

// ringDrops are those of a device with a ring. Its tx_dropped counts what the
// program was given, too, which is taken off.
type ringDrops struct {
	*linkDrops
	ring   *ring
	before uint64 // the most that was known to be lost before the program
}

func (d *ringDrops) count() (n uint64, exact bool, err error) {
	// In this order, a packet on its way counts as seen before it is dropped.
	dropped, err := d.dropped()
	if err != nil {
		return 0, false, err
	}
	seen, lost := d.ring.counted()
	if dropped > seen {
		d.before = max(d.before, dropped-seen)
	}
	queue, err := d.queued()
	return lost + d.before + queue, queue == 0 && d.inexact() == "", err
}

// arrived implements Device.Arrived.
func (d *ringDrops) arrived() uint64 {
	seen, lost := d.ring.counted()
	return seen - lost
}

// settle implements Device.Settle.
func (d *linkDrops) settle(limit time.Duration) error {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		queue, err := rootQueue(d.nl, d.index)
		if err != nil {
			return err
		}
		if queue.Qlen == 0 || time.Since(start) > limit {
			break
		}
	}
	// What has just left the queue is on its way through the program. A kernel that
	// cannot say when it has come out has to be trusted to be quick.
	_ = awaitSenders()
	return nil
}

// rootQueue returns the counters of the device's root queueing discipline.
func rootQueue(nl *netlink.Handle, index int) (netlink.GnetStatsQueue, error) {
	var none netlink.GnetStatsQueue
	all, err := nl.QdiscList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return none, nil // a kernel without traffic control
	}
	if err != nil {
		return none, err
	}
	for _, q := range all {
		if a := q.Attrs(); a.Parent == netlink.HANDLE_ROOT && a.Statistics != nil {
			return *a.Statistics.Queue, nil
		}
	}
	return none, nil
}
