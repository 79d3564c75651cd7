package tun

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// msghdrX is struct msghdr_x of xnu's bsd/sys/socket_private.h.
type msghdrX struct {
	unix.Msghdr
	datalen uint64 // out: how many bytes came
}

var _ [56]byte = [unsafe.Sizeof(msghdrX{})]byte{}

// recvmsgX is a batchSource that calls recvmsg_x:
//
//	ssize_t recvmsg_x(int s, const struct msghdr_x *msgp, u_int cnt, int flags)
type recvmsgX struct {
	fd      int
	iovecs  [batchPackets]unix.Iovec
	headers [batchPackets]msghdrX
}

func newRecvmsgX(fd int, slots [][]byte) *recvmsgX {
	r := &recvmsgX{fd: fd}
	for i, slot := range slots {
		r.iovecs[i].Base = unsafe.SliceData(slot)
		r.iovecs[i].SetLen(len(slot))
	}
	return r
}

func (r *recvmsgX) recv(lens []int) (n int, err error) {
	for {
		// The kernel has written into the headers and wants them clean again.
		for i := range r.headers {
			r.headers[i] = msghdrX{Msghdr: unix.Msghdr{Iov: &r.iovecs[i], Iovlen: 1}}
		}
		got, _, errno := syscall6(recvmsgXAddr, uintptr(r.fd),
			uintptr(unsafe.Pointer(&r.headers)), uintptr(len(r.headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			if got == 0 {
				return 0, ErrDeleted
			}
			for i := range int(got) {
				lens[i] = int(r.headers[i].datalen)
			}
			return int(got), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// recvmsgXAddr is the address of a jump to recvmsg_x, set in recvmsgx_darwin.s:
// so the linker binds the function without cgo.
var recvmsgXAddr uintptr

//go:cgo_import_dynamic libc_recvmsg_x recvmsg_x "/usr/lib/libSystem.B.dylib"

// syscall6 calls a C function of six arguments; package syscall keeps it for
// golang.org/x/sys, with this signature.
//
//go:linkname syscall6 syscall.syscall6
func syscall6(fn, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err syscall.Errno)

// recvmsgXUsable refuses what runs before macOS 15.6: its recvmsg_x could
// leave a lock of the kernel taken.
func recvmsgXUsable() error {
	release, err := unix.Sysctl("kern.osrelease")
	if err == nil && darwinAtLeast(release, 24, 6) {
		return nil
	}
	return &problem{"recvmsg_x needs macOS 15.6 or later (Darwin 24.6), and this is Darwin " + release, errors.ErrUnsupported}
}
