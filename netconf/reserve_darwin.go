package netconf

import (
	"errors"

	"golang.org/x/sys/unix"
)

// reserve locks a file that is called after the pair. The lock is given up when
// the process ends, however it ends: that is why the descriptor is kept nowhere.
// The files are empty, and macOS removes them when it starts.
func reserve(a Addr) bool {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Open("/var/run/tunrec-"+a.String(), flags, 0o600)
	if err != nil {
		return true // only a race is lost
	}
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		unix.Close(fd)
	}
	return !errors.Is(err, unix.EWOULDBLOCK)
}
