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

// Device is a TUN device of our own, and the Ingest that reads its descriptor.
// On Linux packets pass no queueing discipline on their way into it.
type Device struct {
	name string
	rx   receiver
	poll *poller // owns the descriptors

	mu    sync.Mutex // guards drops, which any goroutine may ask for
	drops dropCounter
}

// receiver takes packets off a descriptor, as Ingest.Next does, but returns the
// bare error of the system.
type receiver interface {
	receive(dst []byte) (n, origLen int, unixNano int64, err error)
}

// dropCounter knows the system's count of lost packets.
type dropCounter interface {
	count() (n uint64, exact bool, err error)
	close()
}

var _ Ingest = (*Device)(nil)

// Name returns the name of the device.
func (d *Device) Name() string { return d.name }

// Next implements Ingest.
func (d *Device) Next(dst []byte) (n, origLen int, unixNano int64, err error) {
	n, origLen, unixNano, err = d.rx.receive(dst)
	if err != nil {
		return 0, 0, 0, d.broken("read from", err)
	}
	return n, origLen, unixNano, nil
}

// Wait implements Ingest. It is precise to the millisecond, and never short.
func (d *Device) Wait(timeout time.Duration) error {
	if err := d.poll.wait(timeout); err != nil {
		return d.broken("wait for", err)
	}
	return nil
}

func (d *Device) broken(doing string, err error) error {
	return fmt.Errorf("%s device %s: %w", doing, d.name, err)
}

// Wake implements Ingest.
func (d *Device) Wake() { d.poll.wake() }

// Drops implements Ingest. On Linux it is the growth of the device's tx_dropped
// and exact; on macOS that of ifm_snd_drops and ifi_oerrors, a lower bound.
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

// Close implements Ingest and removes the device. A second Close does nothing.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drops == nil {
		return nil
	}
	d.drops.close()
	d.drops = nil
	if err := d.poll.close(); err != nil {
		return fmt.Errorf("close device %s: %w", d.name, err)
	}
	return nil
}
