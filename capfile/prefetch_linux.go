package capfile

import "golang.org/x/sys/unix"

// prefetch asks the system to read a part of a file ahead (posix_fadvise(2)).
func prefetch(fd uintptr, offset, length int64) {
	_ = unix.Fadvise(int(fd), offset, length, unix.FADV_WILLNEED)
}
