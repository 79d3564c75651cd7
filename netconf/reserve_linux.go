package netconf

import (
	"errors"

	"golang.org/x/sys/unix"
)

// reserve binds an abstract socket (unix(7)) that is called after the pair. Such
// names belong to the network namespace, as the addresses do, take no file, and
// are given up by the kernel when the process ends, however it ends: that is why
// the descriptor is kept nowhere.
func reserve(a Addr) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true // only a race is lost, and Apply would tell
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@tunrec/" + a.String()})
	if err != nil {
		unix.Close(fd)
	}
	return !errors.Is(err, unix.EADDRINUSE)
}
