//go:build linux || darwin

package tun

import (
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for a descriptor, or for a call of wake. It owns the descriptor.
//
// wake makes the stop descriptor readable (eventfd(2) on Linux, a pipe on
// macOS), and so is not lost where nobody is waiting yet.
type poller struct {
	fd    int
	stopR int
	fds   [3]unix.PollFd // of waitFor: on its stack they would escape to the heap

	mu    sync.Mutex // guards stopW: wake must not write to a descriptor closed and used anew
	stopW int        // -1 when closed
}

func newPoller(fd int) (*poller, error) {
	r, w, err := newStop()
	if err != nil {
		return nil, err
	}
	return &poller{fd: fd, stopR: r, stopW: w}, nil
}

func (p *poller) wait(timeout time.Duration) error {
	_, err := p.waitFor(-1, timeout, unix.Poll)
	return err
}

// waitFor waits, by a poll(2) of milliseconds, for another descriptor besides
// (-1: for none), and tells whether it was wake that ended it.
func (p *poller) waitFor(other int, timeout time.Duration, poll func([]unix.PollFd, int) (int, error)) (woken bool, err error) {
	deadline := time.Now().Add(timeout)
	p.fds = [...]unix.PollFd{
		{Fd: int32(p.fd), Events: unix.POLLIN},
		{Fd: int32(p.stopR), Events: unix.POLLIN},
		{Fd: int32(other), Events: unix.POLLIN},
	}
	for {
		_, err := poll(p.fds[:], pollMillis(timeout))
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return false, err
		}
		if timeout >= 0 {
			timeout = max(0, time.Until(deadline))
		}
	}
	woken = p.fds[1].Revents != 0
	if woken {
		// One read empties an eventfd. What it leaves in a pipe, if anything,
		// ends the next wait early, which does no harm.
		var b [512]byte
		_, _ = unix.Read(p.stopR, b[:])
	}
	// A deleted device polls as POLLERR for ever: without this error the caller would spin.
	if p.fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		return woken, ErrDeleted
	}
	return woken, nil
}

// pollMillis rounds up, so that a wait is never short and 1 ns is not a spin.
func pollMillis(d time.Duration) int {
	if d < 0 {
		return -1
	}
	ms := d / time.Millisecond
	if d%time.Millisecond != 0 {
		ms++
	}
	return int(min(ms, math.MaxInt32)) // poll(2) takes an int
}

func (p *poller) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// It fails where a wake is pending already (EAGAIN) and when closed: both are fine.
	_, _ = unix.Write(p.stopW, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd takes 8 bytes
}

// closeDevice closes the descriptor of the device; wait must not be running, nor be
// called again.
func (p *poller) closeDevice() (err error) {
	if p.fd >= 0 {
		err = unix.Close(p.fd)
	}
	p.fd = -1
	return err
}

// close closes everything; wait must not be running.
func (p *poller) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.closeDevice()
	if p.stopR != p.stopW {
		err = errors.Join(err, unix.Close(p.stopR))
	}
	err = errors.Join(err, unix.Close(p.stopW))
	p.stopR, p.stopW = -1, -1
	return err
}
