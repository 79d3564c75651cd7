//go:build linux || darwin

package tun

import (
	"golang.org/x/sys/unix"
)

// family reads one packet per readv(2) from a non-blocking descriptor, the
// address family aside, so that the packet needs no copy. macOS reads so; on
// Linux it is there for the tests.
type family struct {
	fd     int
	family [familyLen]byte
}

func (f *family) receive(dst []byte, keep keeper) (n, origLen int, unixNano int64, err error) {
	for {
		n, err = unix.Readv(f.fd, [][]byte{f.family[:], dst})
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, 0, 0, nil
		case err != nil:
			return 0, 0, 0, err
		case n == 0:
			return 0, 0, 0, ErrDeleted
		case n > familyLen:
			return keep.kept(dst, n-familyLen)
		}
		// Left: a family without a packet, which is nothing to hand over.
	}
}
