package wake

import (
	"os"

	"golang.org/x/sys/unix"
)

// open makes both ends in one.
func open() (r, w int, err error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return fd, fd, os.NewSyscallError("eventfd", err)
}
