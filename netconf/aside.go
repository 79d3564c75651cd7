package netconf

import (
	"fmt"
	"net/netip"
	"slices"
)

// setAside are prefixes that no network uses: those of documentation (RFC 5737, 3849,
// 9637) and of benchmarks (RFC 2544, 5180). That a default gateway leads there, too,
// means nothing.
var setAside = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:2::/48"),
}

// CheckTakesNothing is for a Config of somebody who must not get at the traffic of
// others. It refuses, beyond what Check does, every address and route that any route
// of the machine leads to now, but for ReservePair's pairs and prefixes that no network
// uses, where a default route is no obstacle.
func CheckTakesNothing(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	asked := map[netip.Prefix]string{}
	for _, a := range c.Addrs {
		if !isDefaultPair(a) {
			asked[a.destination()] = "address " + a.String()
			asked[netip.PrefixFrom(a.Local.Addr(), a.Local.Addr().BitLen())] = "address " + a.String()
		}
	}
	for _, r := range c.Routes {
		asked[r] = "route " + r.String()
	}
	var conflict error
	names := deviceNames()
	err := systemRoutes(func(r route) {
		for p, what := range asked {
			isDefault := r.to.Bits() <= 1
			if r.to.Overlaps(p) && !(isDefault && slices.ContainsFunc(setAside, func(s netip.Prefix) bool { return covers(s, p) })) {
				conflict = &Conflict{what, r.describe(names), "choose something that no route leads to, as 192.0.2.0/24"}
			}
		}
	})
	if err != nil {
		return fmt.Errorf("look at the machine's routes: %w", err)
	}
	return conflict
}

// isDefaultPair reports whether a is one of those that ReservePair chooses from.
func isDefaultPair(a Addr) bool {
	for n := byte(1); n <= 254; n++ {
		if a == pair4(n) || a == pair6(n) {
			return true
		}
	}
	return false
}
