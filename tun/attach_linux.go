package tun

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attachDevice takes the packets of a device that exists, and changes nothing of it:
// not its queue, nor its queueing discipline, and it puts no ring there, which
// would outlive us. water is not asked, because it would end the persistence.
func attachDevice(nl *netlink.Handle, link netlink.Link, notice func(string)) (_ *Device, err error) {
	name := link.Attrs().Name
	multiQueue, err := attachable(name, link)
	if err != nil {
		return nil, err
	}
	fd, err := openQueue(name, multiQueue)
	if err != nil {
		return nil, err
	}
	poll, err := newPoller(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("attach to device %s: %w", name, err)
	}
	drops, err := newLinkDrops(nl, link.Attrs().Index, true)
	if err != nil {
		poll.close()
		return nil, fmt.Errorf("attach to device %s: %w", name, err)
	}
	return &Device{
		name: name, poll: poll, rx: plain{fd}, waiter: poll, drops: drops, attached: true, notice: notice,
		ingest: IngestRead, reason: "the device is not ours", holds: link.Attrs().TxQLen,
	}, nil
}

// attachable refuses what is no persistent TUN device as this package reads it,
// and one that somebody else reads, even of several queues: we would get some of
// its packets.
func attachable(name string, link netlink.Link) (multiQueue bool, err error) {
	device, isTun := link.(*netlink.Tuntap)
	switch {
	case !isTun:
		return false, &problem{fmt.Sprintf("device %s exists already, and is no tun device: choose another name", name), os.ErrExist}
	case device.Mode != netlink.TUNTAP_MODE_TUN:
		return false, &problem{fmt.Sprintf("device %s is a tap device, with Ethernet frames: choose another name", name), os.ErrExist}
	case device.NonPersist, device.Queues > 0:
		return false, held(name)
	case device.Flags&netlink.TUNTAP_NO_PI == 0, device.Flags&netlink.TUNTAP_VNET_HDR != 0:
		return false, &problem{fmt.Sprintf("device %s puts headers of its own before packets: make it anew without pi and vnet_hdr", name), os.ErrExist}
	}
	return device.Flags&netlink.TUNTAP_MULTI_QUEUE != 0, nil
}

// openQueue returns a descriptor of an existing device, close-on-exec, non-blocking and
// for reading only.
func openQueue(name string, multiQueue bool) (fd int, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, explain(&os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}, name)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if multiQueue {
			flags |= unix.IFF_MULTI_QUEUE
		}
		request.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.TUNGETIFF, request)
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		err = held(name)
	case errors.Is(err, unix.EPERM):
		err = &problem{fmt.Sprintf("device %s belongs to another user: that needs root or CAP_NET_ADMIN", name), os.ErrPermission}
	case err != nil:
		err = fmt.Errorf("attach to device %s: %w", name, err)
	case request.Uint16()&unix.IFF_PERSIST == 0: // TUNSETIFF has made a new one
		err = &problem{fmt.Sprintf("device %s has just been removed", name), os.ErrNotExist}
	}
	defer unix.Close(fd)
	if err != nil {
		return -1, err
	}
	return dupAside(uintptr(fd))
}

func held(name string) error {
	return &problem{fmt.Sprintf("device %s is held by %s: stop that, or choose another name", name, holder(name)), os.ErrExist}
}

// holder names the process that has a device open. One of that name may also be in
// other network namespaces, so processes in ours are preferred, and else all are
// named.
func holder(name string) string {
	var here, anywhere []string
	ours, _ := os.Readlink("/proc/thread-self/ns/net")
	files, _ := filepath.Glob("/proc/[0-9]*/fdinfo/*") // what may not be looked at is left out
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(b), "iff:\t"+name+"\n") {
			continue
		}
		process := filepath.Dir(filepath.Dir(file))
		comm, _ := os.ReadFile(filepath.Join(process, "comm"))
		text := fmt.Sprintf("process %s (%s)", filepath.Base(process), strings.TrimSpace(string(comm)))
		anywhere = append(anywhere, text)
		if ns, _ := os.Readlink(filepath.Join(process, "ns/net")); ns == ours {
			here = append(here, text)
		}
	}
	switch {
	case len(here) > 0:
		return strings.Join(slices.Compact(here), " or ")
	case len(anywhere) > 0:
		return strings.Join(slices.Compact(anywhere), " or ")
	}
	return "a process that cannot be seen from here"
}
