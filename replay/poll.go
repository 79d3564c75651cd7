//go:build linux || darwin

package replay

import (
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// poll waits, for the timeout or without end where that is negative, until one
// of two descriptors is readable or at its end. It ignores a negative
// descriptor, and may return early.
func poll(fd, stop int, timeout time.Duration) (ready, stopped bool, err error) {
	ms := -1
	if timeout >= 0 {
		// Rounded up: 1 ns must not become a spin. poll(2) takes an int.
		ms = int(min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
	}
	fds := [2]unix.PollFd{
		{Fd: int32(fd), Events: unix.POLLIN},
		{Fd: int32(stop), Events: unix.POLLIN},
	}
	_, err = unix.Poll(fds[:], ms)
	if err == unix.EINTR {
		return false, false, nil
	}
	// POLLHUP and POLLERR too: the read tells what there is.
	return fds[0].Revents != 0, fds[1].Revents != 0, os.NewSyscallError("poll", err)
}
