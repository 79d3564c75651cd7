package tun

import "golang.org/x/sys/unix"

// newStop makes the stop descriptor: on Linux an eventfd, both ends in one.
func newStop() (r, w int, err error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return fd, fd, err
}
