package netconf

import (
	"fmt"
	"net"
	"net/netip"
)

// Pairs are taken from these blocks: 10.N.0.10, 10.N.0.20 (RFC 1918) and
// fd00:10:N::10, fd00:10:N::20 (RFC 4193).
var (
	pairs4 = netip.MustParsePrefix("10.0.0.0/8")
	pairs6 = netip.MustParsePrefix("fd00:10::/32")
)

func pair4(n byte) Addr {
	return Addr{
		Local: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, n, 0, 10}), 32),
		Peer:  netip.AddrFrom4([4]byte{10, n, 0, 20}),
	}
}

func pair6(n byte) Addr {
	ip := pairs6.Addr().As16()
	ip[5], ip[15] = n, 0x10
	local := netip.AddrFrom16(ip)
	ip[15] = 0x20
	return Addr{Local: netip.PrefixFrom(local, 128), Peer: netip.AddrFrom16(ip)}
}

// DefaultPair returns 10.1.0.10 with the peer 10.1.0.20 or, where either of the
// two is in the subnet of an address of this machine or covered by a route, the
// next pair 10.N.0.10, 10.N.0.20 that is free, N from 2 to 254. A default route
// does not count, nor do its halves 0.0.0.0/1 and 128.0.0.0/1.
//
// skipped says in words what stood in the way of 10.1, as in "10.1.0.0/24 is on
// eth0"; it is "" if nothing did. The error says what is in the way if no pair
// is free.
func DefaultPair() (a Addr, skipped string, err error) {
	return defaultPair(func(Addr) bool { return true })
}

// ReservePair is DefaultPair for who is going to use the pair: from now on until
// this process ends no ReservePair gives it to another process in this network
// namespace. So any number of recorders can be started at the same moment.
func ReservePair() (a Addr, skipped string, err error) { return defaultPair(reserve) }

func defaultPair(reserve func(Addr) bool) (a Addr, skipped string, err error) {
	inUse, err := claims(func(p netip.Prefix) bool { return p.Overlaps(pairs4) })
	if err != nil {
		return Addr{}, "", fmt.Errorf("look for a free pair of addresses: %w: choose one with --addr", err)
	}
	a, skipped, ok := freePair(pair4, inUse, reserve)
	if !ok {
		return Addr{}, "", fmt.Errorf("no pair of addresses from %s to %s is free (%s): choose one with --addr", pair4(1), pair4(254), skipped)
	}
	return a, skipped, nil
}

// claim is a part of the address space that the machine uses already, and how:
// "10.1.0.0/24 is on eth0".
type claim struct {
	prefix netip.Prefix
	text   string
}

// claims lists the relevant ones of the machine, addresses before routes, so that
// the address is named and not the route that the system made of it. Default
// routes and their halves claim nothing.
func claims(relevant func(netip.Prefix) bool) ([]claim, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var inUse []claim
	name := map[int]string{}
	for _, d := range devices {
		name[d.Index] = d.Name
		addrs, err := d.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, ok := subnet(a); ok && relevant(p) {
				inUse = append(inUse, claim{p, fmt.Sprintf("%s is on %s", p.Masked(), d.Name)})
			}
		}
	}
	err = systemRoutes(func(r route) {
		if r.to.Bits() > 1 && relevant(r.to) {
			inUse = append(inUse, claim{r.to, r.describe(name)})
		}
	})
	return inUse, err
}

// describe says "10.1.0.0/24 is routed to eth0".
func (r route) describe(deviceNames map[int]string) string {
	where := " already" // several devices, or a route to none
	if n, ok := deviceNames[r.device]; ok {
		where = " to " + n
	}
	return r.to.String() + " is routed" + where
}

func subnet(a net.Addr) (netip.Prefix, bool) {
	n, _ := a.(*net.IPNet)
	return prefix(n)
}

// prefix converts n; it reports false for nil and for a mask with holes.
func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	ip, _ := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	p := netip.PrefixFrom(ip.Unmap(), ones)
	return p, p.IsValid() && bits != 0
}

// freePair returns the first pair that is not in use and can be reserved. skipped
// is what stood in the way of the first, or of all where ok is false.
func freePair(pair func(n byte) Addr, inUse []claim, reserve func(Addr) bool) (a Addr, skipped string, ok bool) {
	for n := byte(1); n <= 254; n++ {
		a = pair(n)
		obstacle := firstClaim(inUse, a)
		if obstacle == "" && !reserve(a) {
			obstacle = "another tunrec has " + a.String()
		}
		if obstacle == "" {
			return a, skipped, true
		}
		if n == 1 {
			skipped = obstacle
		}
	}
	return Addr{}, skipped, false
}

func firstClaim(inUse []claim, a Addr) string {
	for _, c := range inUse {
		if c.prefix.Contains(a.Local.Addr()) || c.prefix.Overlaps(a.destination()) {
			return c.text
		}
	}
	return ""
}
