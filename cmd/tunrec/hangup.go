package main

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/wake"
)

const ttyName = "/dev/tty"

// terminal is the controlling terminal of the process: where a user sits who may leave.
// It is held by a descriptor, since privileges that are given up may include opening it.
// One goroutine calls its methods.
type terminal struct {
	fd     int
	hungAt time.Time // when it was seen to have hung up; zero: not yet
}

// controllingTerminal returns nil where there is none: a service, cron, setsid(1).
func controllingTerminal() *terminal {
	fd, err := unix.Open(ttyName, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return &terminal{fd: fd}
}

// sameHangUp is how long after a terminal has hung up a SIGHUP is taken for its: the
// kernel sends one, and so do shells and sudo(8) when they get it.
const sameHangUp = 2 * time.Second

// hangsUp reports whether a SIGHUP that comes now is one of those that go with the end of
// the terminal, such as that of an ssh session. Every other asks for the next file.
func (t *terminal) hangsUp() bool {
	if t == nil {
		return false
	}
	if t.hungAt.IsZero() {
		if !t.hungUp() {
			return false
		}
		t.hungAt = time.Now()
	}
	return time.Since(t.hungAt) < sameHangUp
}

// hungUp asks in two ways: by name where privileges allow it, since macOS does not poll
// /dev/tty.
func (t *terminal) hungUp() bool {
	if wake.HungUp(t.fd) {
		return true
	}
	fd, err := unix.Open(ttyName, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return errors.Is(err, unix.ENXIO)
}

// watch returns a channel that is closed when the terminal has hung up: a job in the
// background gets no signal then. The function that it returns ends the watch.
func (t *terminal) watch() (hungUp <-chan struct{}, forget func()) {
	if t == nil {
		return nil, func() {}
	}
	w, err := wake.New()
	if err != nil {
		return nil, func() {} // SIGHUP is left
	}
	gone := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		if w.Gone(t.fd) {
			close(gone)
		}
	})
	return gone, func() { w.Wake(); watch.Wait(); w.Close() }
}
