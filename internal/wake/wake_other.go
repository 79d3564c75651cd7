//go:build !unix

// Package wake lets a goroutine sleep until a descriptor is ready, until a time, or until
// another goroutine wakes it. Here it cannot: every descriptor is taken to be ready, so
// that the read waits.
package wake

import "time"

type Waker struct{}

func New() (*Waker, error)  { return &Waker{}, nil }
func (*Waker) Wake()        {}
func (*Waker) Close() error { return nil }
func (*Waker) Wait(fd int, timeout time.Duration) (ready, woken bool, err error) {
	return true, false, nil
}
func (*Waker) Gone(fd int) bool           { return false }
func (*Waker) Ready(fd int) (bool, error) { return true, nil }
func HungUp(fd int) bool                  { return false }
