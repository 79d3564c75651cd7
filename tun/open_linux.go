package tun

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	nlattr "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func validName(name string) error { return linuxName(name) }

func open(c Config) (_ *Device, err error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	defer func() {
		if err != nil {
			nl.Close()
		}
	}()
	if c.Attach && c.Name != "" {
		if link, err := nl.LinkByName(c.Name); err == nil {
			if c.Ingest == IngestRing {
				return nil, &problem{"ingest ring needs a device of our own: use read for " + c.Name, errors.ErrUnsupported}
			}
			return attachDevice(nl, link, c.Notice)
		}
	}
	if err := refuseExisting(nl, c.Name); err != nil {
		return nil, err
	}
	fd, name, err := openWater(c.Name)
	if err != nil {
		return nil, explain(err, c.Name)
	}
	poll, err := newPoller(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up device %s: %w", name, err)
	}
	d := &Device{name: name, poll: poll, notice: c.Notice}
	if err := d.setUp(nl, c); err != nil {
		poll.close()
		if d.free != nil {
			d.free()
		}
		return nil, fmt.Errorf("set up device %s: %w", name, err)
	}
	return d, nil
}

// refuseExisting keeps us from attaching to a persistent device of somebody
// else, which TUNSETIFF would do.
func refuseExisting(nl *netlink.Handle, name string) error {
	if name == "" {
		return nil
	}
	_, err := nl.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for device %s: %w", name, err)
	}
	return exists(name)
}

// setUp readies the device while it is still down, before anything can be sent into it.
func (d *Device) setUp(nl *netlink.Handle, c Config) error {
	link, err := nl.LinkByName(d.name)
	if err != nil {
		return err
	}
	if err := nl.LinkSetTxQLen(link, c.QueueLen); err != nil {
		return fmt.Errorf("queue of %d packets: %w", c.QueueLen, err)
	}
	if err := keepQuiet(nl, link); err != nil {
		return err
	}
	ring, err := d.chooseRing(c)
	if err != nil {
		return fmt.Errorf("ingest ring: %w: use ingest read", err)
	}
	if ring == nil {
		return d.setUpRead(nl, link, c)
	}
	return d.setUpRing(nl, link, ring, c)
}

// keepQuiet has the kernel send nothing of its own accord into the device: no router
// solicitations, which it has no reason for without a link-local address, but would
// find one in an address of somebody's own making; and where the machine forwards
// IPv6, no reports (MLD) that the device belongs to the group of all routers. A tun
// device is IFF_NOARP, so nothing else comes. Where /proc/sys cannot be written, as
// in many containers, what needs it is left out.
func keepQuiet(nl *netlink.Handle, link netlink.Link) error {
	err := nl.LinkSetIP6AddrGenMode(link, nlattr.IN6_ADDR_GEN_MODE_NONE)
	if errors.Is(err, unix.EAFNOSUPPORT) { // a kernel without IPv6
		return nil
	}
	if err != nil {
		return fmt.Errorf("address generation mode: %w", err)
	}
	// Of this device alone. It is in the group by now: version 1 of MLD does not report
	// that it leaves, since it has not reported that it came.
	for _, set := range [...]struct{ name, to string }{
		{"force_mld_version", "1"}, {"forwarding", "0"}, {"force_mld_version", "0"}, {"router_solicitations", "0"},
	} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+link.Attrs().Name+"/"+set.name, []byte(set.to), 0)
	}
	return nil
}

// chooseRing makes the ring where one is wanted and the system allows it.
func (d *Device) chooseRing(c Config) (*ring, error) {
	d.reason = "asked for"
	if c.Ingest == IngestRead {
		return nil, nil
	}
	r, err := newRing(d.poll, c.RingBytes)
	if c.Ingest == IngestRing {
		return r, err
	}
	d.reason = "kernel and privileges allow it"
	if err != nil {
		d.reason = err.Error()
	}
	return r, nil
}

// setUpRead has packets pass straight into the device's own queue. A queueing
// discipline (fq_codel, mostly) only fills when several senders meet, but what
// it drops then is missing in tx_dropped, and it counts a packet that is still
// to be segmented as one.
func (d *Device) setUpRead(nl *netlink.Handle, link netlink.Link, c Config) error {
	d.ingest, d.holds = IngestRead, c.QueueLen
	d.rx, d.waiter = plain{d.poll.fd}, d.poll
	if err := setQdisc(nl, link, "noqueue"); err != nil {
		return err
	}
	if g, err := newGate(d.poll.fd); err == nil { // else see Shut
		d.shut, d.free = g.shut, g.close
	}
	drops, err := newLinkDrops(nl, link.Attrs().Index, true)
	if err == nil {
		d.drops = drops
	}
	return err
}

// setUpRing puts a queueing discipline before the device. Without one, senders
// would learn that the device drops every packet: ENOBUFS.
func (d *Device) setUpRing(nl *netlink.Handle, link netlink.Link, r *ring, c Config) error {
	d.ingest, d.holds = IngestRing, c.RingBytes/minRecord
	d.rx, d.lender, d.waiter, d.free = r, r, r, r.close
	d.shut = d.poll.closeDevice // what is in the ring stays there
	resizes := false
	err := setQdisc(nl, link, "pfifo")
	if errors.Is(err, unix.ENOENT) { // a kernel without it always has this one
		resizes = true
		err = setQdisc(nl, link, "pfifo_fast")
	}
	if err != nil {
		return err
	}
	drops, err := newLinkDrops(nl, link.Attrs().Index, resizes)
	if err == nil {
		d.drops = &ringDrops{linkDrops: drops, ring: r}
	}
	return err
}

func setQdisc(nl *netlink.Handle, link netlink.Link, kind string) error {
	err := nl.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT},
		QdiscType:  kind,
	})
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // a kernel without traffic control
		return fmt.Errorf("queueing discipline %s: %w", kind, err)
	}
	return nil
}

// dup returns a descriptor of water's own, close-on-exec.
func dup(ifce *water.Interface) (fd int, err error) {
	conn, ok := ifce.ReadWriteCloser.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("water gave a %T, not a file", ifce.ReadWriteCloser)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	dupErr := raw.Control(func(old uintptr) {
		fd, err = dupAside(old)
	})
	return fd, errors.Join(dupErr, err)
}

// dupAside copies a descriptor of the device to a number that nothing else gets later. A
// filter that keeps the process from writing to the device (seccomp(2)) knows it by its
// number, and would hold for what has that number once the device is closed.
func dupAside(fd uintptr) (int, error) {
	const aside = 1000
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return -1, os.NewSyscallError("getrlimit", err)
	}
	copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, int(min(limit.Cur-1, aside)))
	if err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	return copied, nil
}

// closeAbandoned closes what water leaves open when TUNSETIFF fails: any
// descriptor of /dev/net/tun that no device is attached to. It assumes that
// nobody else in this process holds one such.
func closeAbandoned() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // without /proc we cannot tell; a failed Open mostly ends the process anyway
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && isTun(fd) && !isAttached(fd) {
			unix.Close(fd)
		}
	}
}

// isTun tells whether fd is character device 10:200
// (Documentation/networking/tuntap.rst).
func isTun(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(st.Rdev) == unix.Mkdev(10, 200)
}

func isAttached(fd int) bool {
	ifr, err := unix.NewIfreq("")
	return err != nil || !errors.Is(unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr), unix.EBADFD)
}

// explain says what to do about an error of water's.
func explain(err error, name string) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return &problem{"making a tun device needs root or CAP_NET_ADMIN (and in a container the device /dev/net/tun)", os.ErrPermission}
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return &problem{"no tun driver at /dev/net/tun: load it (modprobe tun), or make the file (mknod /dev/net/tun c 10 200)", os.ErrNotExist}
	case name != "" && errors.Is(err, unix.EBUSY):
		return exists(name)
	case name == "":
		return fmt.Errorf("make a tun device: %w", err)
	default:
		return fmt.Errorf("make tun device %s: %w", name, err)
	}
}
