//go:build unix && !linux

package wake

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// open makes the two ends of a pipe.
func open() (r, w int, err error) {
	syscall.ForkLock.RLock() // pipe(2) cannot make them close-on-exec at once
	defer syscall.ForkLock.RUnlock()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return -1, -1, os.NewSyscallError("pipe", err)
	}
	for _, fd := range p {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(p[0])
			unix.Close(p[1])
			return -1, -1, os.NewSyscallError("fcntl", err)
		}
	}
	return p[0], p[1], nil
}
