package netconf

import (
	"fmt"
	"net/netip"
	"slices"
)

// Obstacle is something that keeps packets from a device, or from being seen there
// as they were sent.
type Obstacle struct {
	Topic string // what it is about: one of Topics
	Text  string // what is wrong, and what comes of it
	Mend  string // the command that mends it, or an advice
	Grave bool   // nothing comes where it matters
}

// Topics of an Obstacle, in the order in which a packet meets them.
const (
	TopicDevice     = "device"
	TopicForwarding = "forwarding"
	TopicRPFilter   = "rp_filter"
	TopicRoute      = "route"
	TopicHops       = "hops"
	TopicMTU        = "mtu"
)

// Topics are all that Examine looks at on this system.
func Topics() []string { return topics }

// Examine finds what keeps packets to c.Routes from the device called name, in the
// network namespace of the calling thread, and changes nothing. Where there is no
// such device, or name is "", it is about one that Apply would configure, for which
// Check tells more. Of a device that exists, routes that c does not name are those
// that it has; destinations are all that can then be said to lead into it.
func Examine(name string, c Config) (found []Obstacle, destinations []netip.Prefix, err error) {
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	found, destinations, err = examine(name, c)
	if err != nil {
		return nil, nil, fmt.Errorf("look at the way to the device: %w", err)
	}
	return found, destinations, nil
}

// families tells which of IPv4 and IPv6 the prefixes are of.
func families(prefixes []netip.Prefix) (v4, v6 bool) {
	for _, p := range prefixes {
		v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
	}
	return v4, v6
}

// samples are addresses of p that packets may be sent to: its first and its last one,
// but for those that mean a network, and those that no device is sent.
func samples(p netip.Prefix) []netip.Addr {
	first, last := p.Addr(), lastAddr(p)
	if p.Addr().BitLen()-p.Bits() > 1 {
		first, last = first.Next(), last.Prev()
	}
	return slices.DeleteFunc(slices.Compact([]netip.Addr{first, last}), func(ip netip.Addr) bool {
		return ip.IsLoopback() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.Is4() && ip.As4()[0] == 0
	})
}
