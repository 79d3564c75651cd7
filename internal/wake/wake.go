//go:build unix

// Package wake lets a goroutine sleep until a descriptor is ready, until a time, or until
// another goroutine wakes it.
package wake

import (
	"errors"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Waker ends waits. It is a descriptor (an eventfd(2) on Linux, a pipe elsewhere) that
// Wake makes readable and the wait that it ends empties, and nothing else: no flag beside
// it can contradict it.
type Waker struct {
	r   int
	fds [2]unix.PollFd // of waits, which one goroutine at a time does: on its stack they would escape

	mu sync.Mutex // guards w: Wake must not write to a descriptor that is closed and used anew
	w  int        // -1: closed
}

// New returns a Waker.
func New() (*Waker, error) {
	r, w, err := open()
	if err != nil {
		return nil, err
	}
	return &Waker{r: r, w: w}, nil
}

// Wake ends the present wait or else the next one. It never blocks. Any goroutine may
// call it, also after Close.
func (w *Waker) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	// It fails where a wake-up is pending already (EAGAIN) and after Close: both are fine.
	_, _ = unix.Write(w.w, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd takes 8 bytes
}

// Close closes the descriptors. No wait may be running.
func (w *Waker) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.w < 0 {
		return nil
	}
	err := unix.Close(w.w)
	if w.r != w.w {
		err = errors.Join(err, unix.Close(w.r))
	}
	w.r, w.w = -1, -1
	return err
}

// Poll waits until one of fds is ready, until the timeout has passed (negative: it never
// does), or until Wake is called; woken reports the last. fds[0] is for the Waker: Poll
// fills it in. poll is poll(2) or does what that does.
func (w *Waker) Poll(fds []unix.PollFd, timeout time.Duration, poll func([]unix.PollFd, int) (int, error)) (woken bool, err error) {
	deadline := time.Now().Add(timeout)
	fds[0] = unix.PollFd{Fd: int32(w.r), Events: unix.POLLIN}
	for {
		_, err := poll(fds, millis(timeout))
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return false, os.NewSyscallError("poll", err)
		}
		if timeout >= 0 {
			timeout = max(0, time.Until(deadline))
		}
	}
	if woken = fds[0].Revents != 0; woken {
		// One read empties an eventfd. What it leaves in a pipe, if anything, ends the
		// next wait early, which does no harm.
		var b [512]byte
		_, _ = unix.Read(w.r, b[:])
	}
	return woken, nil
}

// Wait waits until fd is readable or at its end (-1: there is none), until the timeout
// has passed, or until Wake is called.
func (w *Waker) Wait(fd int, timeout time.Duration) (ready, woken bool, err error) {
	w.fds[1] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	woken, err = w.Poll(w.fds[:], timeout, unix.Poll)
	return w.fds[1].Revents != 0, woken, err
}

// Ready reports whether fd is readable or at its end now. It uses up no wake-up.
func (w *Waker) Ready(fd int) (bool, error) {
	err := look(w.fds[1:], fd, unix.POLLIN)
	return w.fds[1].Revents != 0, err
}

// Gone waits until nobody can read any more what is written to fd, a pipe or a socket, or
// until a terminal has hung up, or until Wake is called; it reports whether the other end
// has gone, at once and in vain where that cannot be polled for (/dev/tty on macOS).
func (w *Waker) Gone(fd int) bool {
	for {
		w.fds[1] = unix.PollFd{Fd: int32(fd), Events: hangUp}
		woken, err := w.Poll(w.fds[:], -1, unix.Poll)
		if gone := w.fds[1].Revents&over != 0; gone || woken || err != nil || w.fds[1].Revents != 0 {
			return gone // both may be so: what is woken by a failed write knows why
		}
	}
}

const (
	// over is what the other end of a descriptor leaves behind: a pipe POLLERR, a socket
	// or a terminal POLLHUP.
	over = unix.POLLERR | unix.POLLHUP
	// hangUp need not be asked for, but macOS watches no descriptor for nothing (xnu's
	// poll_nocancel).
	hangUp = unix.POLLHUP
)

// HungUp reports whether the other end of fd, such as that of a terminal, has gone.
func HungUp(fd int) bool {
	fds := make([]unix.PollFd, 1)
	return look(fds, fd, hangUp) == nil && fds[0].Revents&over != 0
}

// look polls fd without waiting, by fds[0].
func look(fds []unix.PollFd, fd int, events int16) error {
	for {
		fds[0] = unix.PollFd{Fd: int32(fd), Events: events}
		if _, err := unix.Poll(fds[:1], 0); err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}

// millis rounds up, so that a wait is never short and 1 ns is not a spin.
func millis(d time.Duration) int {
	if d < 0 {
		return -1
	}
	ms := d / time.Millisecond
	if d%time.Millisecond != 0 {
		ms++
	}
	return int(min(ms, math.MaxInt32)) // poll(2) takes an int
}
