package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const minMTU = 68 // ETH_MIN_MTU, which is RFC 791 §3.2

// apply sets the MTU first, because a device below 1280 bytes has no IPv6, and
// brings the device up before it gets addresses: the kernel makes the route to
// an IPv6 peer only on a device that is up (seen with Linux 6.18).
func apply(name string, c Config) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("configure device %s: %w", name, err)
	}
	if c.MTU != 0 {
		if err := netlink.LinkSetMTU(link, c.MTU); err != nil {
			return fmt.Errorf("set mtu %d on %s: %w", c.MTU, name, explain(err))
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", name, explain(err))
	}
	for _, a := range c.Addrs {
		if err := netlink.AddrAdd(link, linuxAddr(a)); err != nil {
			return fmt.Errorf("add address %s to %s: %w", a, name, explain(err))
		}
	}
	for _, r := range c.Routes {
		if err := netlink.RouteAdd(linuxRoute(link, r)); err != nil {
			return fmt.Errorf("add route %s to %s: %w", r, name, explain(err))
		}
	}
	return nil
}

func linuxAddr(a Addr) *netlink.Addr {
	addr := &netlink.Addr{
		IPNet:     ipNet(a.Local),
		Broadcast: net.IPv4zero, // none: netlink would make one up
	}
	if a.Peer.IsValid() {
		addr.Peer = ipNet(netip.PrefixFrom(a.Peer, a.Peer.BitLen()))
	}
	if a.Local.Addr().Is6() {
		// Nobody on the device could answer a duplicate address probe, and the
		// address could not be used while the kernel waits.
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}

func linuxRoute(link netlink.Link, p netip.Prefix) *netlink.Route {
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p)}
	if p.Addr().Is4() {
		r.Scope = netlink.SCOPE_LINK // IPv6 routes have no scope
	}
	return r
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// explain adds to an errno what it means here, where that is known.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: this needs root or CAP_NET_ADMIN", err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: see ip route show for where it goes now", err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: IPv6 is switched off: see sysctl net.ipv6.conf.all.disable_ipv6", err)
	}
	return err
}

// routes lists the IPv4 routes of all tables: a VPN often keeps its own in
// another than main. Each goes to add as it comes, because a router on the
// Internet has a million of them.
func routes(add func(destination netip.Prefix, device int)) error {
	allTables := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	list := func() error {
		return netlink.RouteListFilteredIter(netlink.FAMILY_V4, allTables, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if p, ok := prefix(r.Dst); ok {
				add(p, r.LinkIndex)
			}
			return true
		})
	}
	// What changes while it is listed has to be listed again.
	err := list()
	for try := 1; try < 5 && errors.Is(err, netlink.ErrDumpInterrupted); try++ {
		err = list()
	}
	return err
}
