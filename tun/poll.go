//go:build linux || darwin

package tun

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/wake"
)

// poller waits for a descriptor, or to be woken. It owns the descriptor.
type poller struct {
	*wake.Waker
	fd  int
	fds [3]unix.PollFd // of waitFor: on its stack they would escape to the heap
}

func newPoller(fd int) (*poller, error) {
	w, err := wake.New()
	if err != nil {
		return nil, err
	}
	return &poller{Waker: w, fd: fd}, nil
}

func (p *poller) wait(timeout time.Duration) error {
	_, err := p.waitFor(-1, timeout, unix.Poll)
	return err
}

// waitFor waits, by a poll(2) of milliseconds, for another descriptor besides
// (-1: for none), and reports whether it was Wake that ended it.
func (p *poller) waitFor(other int, timeout time.Duration, poll func([]unix.PollFd, int) (int, error)) (woken bool, err error) {
	p.fds[1] = unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN}
	p.fds[2] = unix.PollFd{Fd: int32(other), Events: unix.POLLIN}
	woken, err = p.Poll(p.fds[:], timeout, poll)
	// A deleted device polls as POLLERR for ever: without this error the caller would spin.
	if err == nil && p.fds[1].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		err = ErrDeleted
	}
	return woken, err
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
	err := errors.Join(p.closeDevice(), p.Waker.Close())
	return err
}
