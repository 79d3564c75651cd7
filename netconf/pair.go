package netconf

import (
	"fmt"
	"net"
	"net/netip"
)

// pairs is the block that the default pair is taken from (RFC 1918).
var pairs = netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 8)

// DefaultPair returns 10.1.0.10 with the peer 10.1.0.20 or, where either of the
// two is in the subnet of an address of this machine or covered by a route, the
// next pair 10.N.0.10, 10.N.0.20 that is free, N from 2 to 254. A default route
// does not count, nor do its halves 0.0.0.0/1 and 128.0.0.0/1.
//
// skipped says in words what stood in the way of 10.1, as in "10.1.0.0/24 is on
// eth0"; it is "" if nothing did. The error says what is in the way if no pair
// is free.
func DefaultPair() (a Addr, skipped string, err error) {
	inUse, err := claims()
	if err != nil {
		return Addr{}, "", fmt.Errorf("look for a free pair of addresses: %w: choose one with --addr", err)
	}
	return freePair(inUse)
}

// claim is a part of the address space that the machine uses already, and how:
// "10.1.0.0/24 is on eth0".
type claim struct {
	prefix netip.Prefix
	text   string
}

// claims lists addresses before routes, so that the address is named and not
// the route that the system made of it.
func claims() ([]claim, error) {
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
			if p, ok := subnet(a); ok && claimsPairs(p) {
				inUse = append(inUse, claim{p, fmt.Sprintf("%s is on %s", p.Masked(), d.Name)})
			}
		}
	}
	err = routes(func(destination netip.Prefix, device int) {
		if !claimsPairs(destination) {
			return
		}
		where := " already" // several devices, or a route to none
		if n, ok := name[device]; ok {
			where = " to " + n
		}
		inUse = append(inUse, claim{destination, destination.String() + " is routed" + where})
	})
	return inUse, err
}

// claimsPairs reports whether p can be in the way of a pair: it covers some of
// their block, and is neither a default route nor half of one.
func claimsPairs(p netip.Prefix) bool {
	return p.Bits() > 1 && p.Overlaps(pairs)
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

func freePair(inUse []claim) (a Addr, skipped string, err error) {
	for n := byte(1); n <= 254; n++ {
		a = Addr{
			Local: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, n, 0, 10}), 32),
			Peer:  netip.AddrFrom4([4]byte{10, n, 0, 20}),
		}
		obstacle := firstClaim(inUse, a)
		if obstacle == "" {
			return a, skipped, nil
		}
		if n == 1 {
			skipped = obstacle
		}
	}
	return Addr{}, skipped, fmt.Errorf("no pair of addresses from 10.1.0.10,10.1.0.20 to %s is free (%s): choose one with --addr", a, skipped)
}

func firstClaim(inUse []claim, a Addr) string {
	for _, c := range inUse {
		if c.prefix.Contains(a.Local.Addr()) || c.prefix.Contains(a.Peer) {
			return c.text
		}
	}
	return ""
}
