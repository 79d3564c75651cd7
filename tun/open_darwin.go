package tun

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// From sys/sys_domain.h and net/if_utun.h.
const (
	sysprotoControl          = 2
	utunOptIfname            = 2
	utunOptMaxPendingPackets = 16
	utunControlName          = "com.apple.net.utun_control"
)

func validName(name string) error { return utunName(name) }

func open(c Config) (_ *Device, err error) {
	reason := "asked for"
	switch c.Ingest {
	case IngestRing:
		return nil, &problem{"ingest ring needs Linux: use read", errors.ErrUnsupported}
	case IngestAuto:
		reason = "macOS has no other"
	}
	if c.RecvmsgX {
		if err := recvmsgXUsable(); err != nil {
			return nil, err
		}
	}
	// water tells causes in words only, so the two common ones are looked for here.
	if os.Geteuid() != 0 {
		return nil, &problem{"making a utun device needs root", os.ErrPermission}
	}
	if c.Name != "" {
		if _, err := net.InterfaceByName(c.Name); err == nil {
			return nil, exists(c.Name)
		}
	}
	fd, name, err := openWater(c.Name)
	if err != nil {
		return nil, fmt.Errorf("make a utun device: %w", err)
	}
	poll, err := newPoller(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up device %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			poll.close()
		}
	}()
	if err := setPending(fd, c.PendingPackets); err != nil {
		return nil, fmt.Errorf("set up device %s: %w", name, err)
	}
	drops, err := newUtunDrops(name)
	if err != nil {
		return nil, fmt.Errorf("set up device %s: %w", name, err)
	}
	d := &Device{
		name: name, ingest: IngestRead, reason: reason, holds: c.PendingPackets,
		rx: &family{fd: fd}, waiter: poll, poll: poll, drops: drops,
	}
	if c.RecvmsgX {
		d.rx = newBatch(func(slots [][]byte) batchSource { return newRecvmsgX(fd, slots) })
	}
	return d, nil
}

// setPending lets n packets wait in the socket; the default of 1 would have the
// reader woken for each. ENOBUFS: n of the longest packets do not fit SO_RCVBUF.
func setPending(fd, n int) error {
	for {
		err := unix.SetsockoptInt(fd, sysprotoControl, utunOptMaxPendingPackets, n)
		if !errors.Is(err, unix.ENOBUFS) || n == 1 {
			return os.NewSyscallError("setsockopt UTUN_OPT_MAX_PENDING_PACKETS", err)
		}
		n /= 2
	}
}

// dup finds the descriptor of the device, which water does not show, among our own.
func dup(ifce *water.Interface) (fd int, err error) {
	for old := range descriptorLimit() {
		if attachedTo(old) == ifce.Name() {
			return unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0)
		}
	}
	return -1, fmt.Errorf("the descriptor of %s was not found", ifce.Name())
}

// closeAbandoned closes what water leaves open when connecting fails: any
// kernel control socket that is attached to nothing. It assumes that nobody
// else in this process holds one such.
func closeAbandoned() {
	for fd := range descriptorLimit() {
		if isIdleControl(fd) {
			unix.Close(fd)
		}
	}
}

// descriptorLimit bounds the search for a descriptor: system calls give out the
// lowest that is free, so a high limit does not mean high numbers.
func descriptorLimit() int {
	const enough = 1 << 16
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil || r.Cur > enough {
		return enough
	}
	return int(r.Cur)
}

// attachedTo returns the name of the utun device of a descriptor, or "".
func attachedTo(fd int) string {
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return ""
	}
	ctl, ok := peer.(*unix.SockaddrCtl)
	if !ok {
		return ""
	}
	info, err := utunControl(fd)
	if err != nil || info.Id != ctl.ID {
		return ""
	}
	name, err := unix.GetsockoptString(fd, sysprotoControl, utunOptIfname)
	if err != nil {
		return ""
	}
	return name
}

// isIdleControl tells whether fd is a kernel control socket that is not connected.
func isIdleControl(fd int) bool {
	if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return false // not a socket
	}
	if _, err := unix.Getpeername(fd); err == nil {
		return false // connected
	}
	_, err := utunControl(fd)
	return err == nil
}

func utunControl(fd int) (*unix.CtlInfo, error) {
	info := new(unix.CtlInfo)
	copy(info.Name[:], utunControlName)
	return info, unix.IoctlCtlInfo(fd, info)
}
