package tun

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// plain reads one packet per read(2) from a non-blocking descriptor whose
// packets stand alone (IFF_NO_PI).
type plain struct{ fd int }

func (p plain) receive(dst []byte, keep keeper) (n, origLen int, unixNano int64, err error) {
	for {
		// A raw system call, because a non-blocking read returns at once: to
		// tell the scheduler about it would cost more than it could give.
		r, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(p.fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(dst))), uintptr(len(dst)))
		switch errno {
		case 0:
			return keep.kept(dst, int(r))
		case unix.EAGAIN:
			return 0, 0, 0, nil
		case unix.EINTR:
		case unix.EBADFD, unix.EFAULT, unix.EIO: // depending on the kernel and on when
			return 0, 0, 0, ErrDeleted
		default:
			return 0, 0, 0, errno
		}
	}
}
