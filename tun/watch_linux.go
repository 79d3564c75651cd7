package tun

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watch hears from the kernel what happens to a device (rtnetlink(7)), and keeps
// what makes the count of lost packets a lower bound: the kernel throws packets
// away without counting them. The messages wait in the socket until somebody
// looks, so that nothing which happens between two looks is missed.
type watch struct {
	fd       int
	queueLen int  // txqueuelen, as last heard
	resizes  bool // packets wait in a queue of that length
	up       bool
	why      string                  // the first thing that makes the count a lower bound; "": nothing
	final    *netlink.LinkStatistics // of the device, when it was gone
	buffer   [64 << 10]byte
}

// newWatch begins with the device as it is now. resizes says that packets wait in
// its own queue, which a shorter txqueuelen cuts.
func newWatch(link netlink.Link, resizes bool) (_ *watch, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	filter := aboutDevice(link.Attrs().Index)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	if err == nil {
		const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_TC-1)
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch the device: %w", err)
	}
	return &watch{
		fd: fd, resizes: resizes, queueLen: link.Attrs().TxQLen, up: link.Attrs().RawFlags&unix.IFF_UP != 0,
	}, nil
}

// aboutDevice lets pass what is about one device, so that the socket does not fill
// on a machine whose devices come and go: struct ifinfomsg and struct tcmsg both
// have the index 4 bytes behind the header of 16. A filter loads big-endian.
func aboutDevice(index int) []unix.SockFilter {
	const offset = unix.NLMSG_HDRLEN + 4
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(index))
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: binary.BigEndian.Uint32(b[:]), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 20},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

// look takes what has been heard since the last look.
func (w *watch) look() {
	for {
		n, _, err := unix.Recvfrom(w.fd, w.buffer[:], unix.MSG_DONTWAIT)
		switch err {
		case nil:
			messages, err := syscall.ParseNetlinkMessage(w.buffer[:n])
			if err != nil {
				w.note("a message about it could not be read: %v", err)
			}
			for i := range messages {
				w.hear(&messages[i])
			}
		case unix.EINTR:
		case unix.ENOBUFS:
			w.note("more happened to it than could be followed")
		default: // mostly EAGAIN
			return
		}
	}
}

func (w *watch) hear(m *syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWQDISC, unix.RTM_DELQDISC:
		const parent = 12 // in struct tcmsg
		if len(m.Data) >= parent+4 && binary.NativeEndian.Uint32(m.Data[parent:]) == netlink.HANDLE_ROOT {
			w.note("its queueing discipline was changed")
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		header := unix.NlMsghdr(m.Header)
		link, err := netlink.LinkDeserialize(&header, m.Data)
		if err != nil {
			w.note("a message about it could not be read: %v", err)
			return
		}
		w.hearLink(link.Attrs(), m.Header.Type == unix.RTM_DELLINK)
	}
}

func (w *watch) hearLink(a *netlink.LinkAttrs, gone bool) {
	up := a.RawFlags&unix.IFF_UP != 0
	switch {
	case gone:
		w.final = a.Statistics
		w.why = "" // it was also set down for that
		w.note("it was removed, or moved to another network namespace")
	case w.up && !up:
		w.note("it was set down")
	case w.resizes && a.TxQLen < w.queueLen:
		w.note("its queue was shortened from %d to %d packets (txqueuelen)", w.queueLen, a.TxQLen)
	}
	w.up, w.queueLen = up, a.TxQLen
}

func (w *watch) note(format string, args ...any) {
	if w.why == "" {
		w.why = fmt.Sprintf(format, args...)
	}
}

func (w *watch) close() { unix.Close(w.fd) }
