package netconf

import (
	"net/netip"
	"slices"
)

// route is one that the system has.
type route struct {
	to     netip.Prefix // of length 0: a default route
	via    []netip.Addr // next hops, where there are any
	device int          // its index; 0: several or none
	table  tableKind
}

// tableKind tells what a route's table is for.
type tableKind int

const (
	otherTable tableKind = iota // looked at only where a rule says so
	mainTable
	localTable // the machine's own addresses, looked at before all others
)

// eachRoute gives the routes of the system to add, one as it comes: a router on
// the Internet has a million of them.
type eachRoute func(add func(route)) error

// halves are what is routed in the place of a default route, which stays where
// it is: they are more specific. Others are returned as they are.
func halves(p netip.Prefix) []netip.Prefix {
	if p.Bits() > 0 {
		return []netip.Prefix{p}
	}
	low, high := split(p)
	return []netip.Prefix{low, high}
}

// split returns the two halves of a prefix that is not a single address.
func split(p netip.Prefix) (low, high netip.Prefix) {
	low = netip.PrefixFrom(p.Addr(), p.Bits()+1)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	top, _ := netip.AddrFromSlice(bytes)
	return low, netip.PrefixFrom(top, p.Bits()+1)
}

// carve returns what is left of p without the holes: the fewest prefixes that
// cover it. A hole of one IPv4 address leaves up to 32, of an IPv6 one 128.
func carve(p netip.Prefix, holes []netip.Prefix) []netip.Prefix {
	isIn := slices.ContainsFunc(holes, func(h netip.Prefix) bool { return covers(h, p) })
	touches := slices.ContainsFunc(holes, func(h netip.Prefix) bool { return covers(p, h) })
	switch {
	case isIn:
		return nil
	case !touches:
		return []netip.Prefix{p}
	}
	low, high := split(p)
	return append(carve(low, holes), carve(high, holes)...)
}

func carveAll(whole, holes []netip.Prefix) (all []netip.Prefix) {
	for _, p := range whole {
		all = append(all, carve(p, holes)...)
	}
	return all
}

// covers reports whether every address of inner is in outer.
func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// pieces are the routes that are added for c.Routes: default routes in halves,
// and without the exceptions. All of them go with the device, and so leave
// nothing to undo, which routes around the device would.
//
// An exception that a route of the system leads elsewhere already, more
// specific than ours, stays there without being cut out. So does what a cut
// would leave exactly as large as a route of the system.
func (c Config) pieces(system eachRoute) ([]netip.Prefix, error) {
	whole := c.wholes()
	if len(c.Exclude) == 0 {
		return whole, nil
	}
	if c.Table != 0 {
		return carveAll(whole, c.Exclude), nil
	}
	safe := make([]bool, len(c.Exclude))
	err := system(func(r route) {
		for i, e := range c.Exclude {
			isMine := func(p netip.Prefix) bool { return covers(p, e) && p.Bits() >= r.to.Bits() }
			if r.table != otherTable && covers(r.to, e) && !slices.ContainsFunc(whole, isMine) {
				safe[i] = true
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var holes []netip.Prefix
	for i, e := range c.Exclude {
		if !safe[i] {
			holes = append(holes, e)
		}
	}
	all := carveAll(whole, holes)
	err = system(func(r route) {
		if r.table == mainTable && !slices.Contains(whole, r.to) {
			all = slices.DeleteFunc(all, func(p netip.Prefix) bool { return p == r.to })
		}
	})
	return all, err
}

func (c Config) wholes() (all []netip.Prefix) {
	for _, r := range c.Routes {
		if c.Table != 0 {
			all = append(all, r) // nothing is taken from a table of one's own
			continue
		}
		all = append(all, halves(r)...)
	}
	return all
}
