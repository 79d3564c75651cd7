package netconf

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const minMTU = 68 // ETH_MIN_MTU, which is RFC 791 §3.2

// DefaultMTU is the Config.MTU that 0 stands for.
const DefaultMTU = maxMTU

// routesNeedAddress: a route has to have an address of its family on the device.
const routesNeedAddress = false

// apply sets the MTU first, because a device below 1280 bytes has no IPv6, and
// brings the device up before it gets addresses: the kernel makes the route to
// an IPv6 peer only on a device that is up (seen with Linux 6.18).
func apply(name string, c Config) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("configure device %s: %w", name, err)
	}
	mtu := cmp.Or(c.MTU, DefaultMTU)
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("set mtu %d on %s: %w", mtu, name, explain(err))
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", name, explain(err))
	}
	for _, a := range c.Addrs {
		err := netlink.AddrAdd(link, linuxAddr(a))
		if err == nil && a.Peer.Is6() {
			err = addPeerRoute(link, a.Peer)
		}
		if err != nil {
			return fmt.Errorf("add address %s to %s: %w", a, name, explain(err))
		}
	}
	pieces, err := c.pieces(systemRoutes)
	if err != nil {
		return fmt.Errorf("look at the routes: %w", err)
	}
	for _, r := range pieces {
		if err := netlink.RouteAdd(linuxRoute(link, r, c)); err != nil {
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

// addPeerRoute adds what the kernel adds by itself, but some time after it has
// taken the address (addrconf_dad_work in net/ipv6/addrconf.c). Either may come
// first: there is one such route in the end.
func addPeerRoute(link netlink.Link, peer netip.Addr) error {
	const addrconfMetric = 256 // IP6_RT_PRIO_ADDRCONF of net/ip6_route.h
	err := netlink.RouteAdd(&netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: ipNet(netip.PrefixFrom(peer, peer.BitLen())),
		Protocol: unix.RTPROT_KERNEL, Priority: addrconfMetric,
	})
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func linuxRoute(link netlink.Link, p netip.Prefix, c Config) *netlink.Route {
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p), Priority: c.Metric, Table: c.Table}
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

func validateTable(metric, table int) error {
	if metric < 0 || int64(metric) > math.MaxUint32 {
		return fmt.Errorf("metric %d: must be 0 to %d", metric, uint32(math.MaxUint32))
	}
	switch {
	case table < 0 || int64(table) > math.MaxUint32:
		return fmt.Errorf("routing table %d: must be 1 to %d", table, uint32(math.MaxUint32))
	case table == unix.RT_TABLE_MAIN:
		return fmt.Errorf("routing table %d: is the main one, which routes go to without a number", table)
	case table == unix.RT_TABLE_LOCAL:
		return fmt.Errorf("routing table %d: is the kernel's own", table)
	}
	return nil
}

// systemRoutes lists all tables: a VPN often keeps its own in another than main.
func systemRoutes(add func(route)) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := routesOf(family, add); err != nil {
			return err
		}
	}
	return nil
}

// routesOf lists again what changed while it was listed, and adds it again: that
// does no harm.
func routesOf(family int, add func(route)) (err error) {
	allTables := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	for range 5 {
		err = netlink.RouteListFilteredIter(family, allTables, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if found, ok := fromLinux(family, r); ok {
				add(found)
			}
			return true
		})
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return err
		}
	}
	return err
}

func fromLinux(family int, r netlink.Route) (route, bool) {
	to, ok := prefix(r.Dst)
	if r.Dst == nil {
		to, ok = netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
		if family == netlink.FAMILY_V6 {
			to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	found := route{to: to, device: r.LinkIndex}
	switch r.Table {
	case unix.RT_TABLE_MAIN:
		found.table = mainTable
	case unix.RT_TABLE_LOCAL:
		found.table = localTable
	}
	hops := []net.IP{r.Gw}
	for _, hop := range r.MultiPath {
		hops = append(hops, hop.Gw)
	}
	for _, hop := range hops {
		if via, ok := netip.AddrFromSlice(hop); ok {
			found.via = append(found.via, via.Unmap())
		}
	}
	return found, ok
}
