package netconf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

const (
	maxMTU     = 65535
	minMTUIPv6 = 1280 // RFC 8200 §5
)

// Validate checks what can be checked without looking at the machine. The error
// names the value at fault.
func (c Config) Validate() error {
	if err := c.validateMTU(); err != nil {
		return err
	}
	for _, a := range c.Addrs {
		if err := a.validate(); err != nil {
			return err
		}
	}
	for _, r := range c.Routes {
		if err := validatePrefix("route", r); err != nil {
			return err
		}
	}
	for _, e := range c.Exclude {
		if err := c.validateExclude(e); err != nil {
			return err
		}
	}
	if err := validateTable(c.Metric, c.Table); err != nil {
		return err
	}
	if err := c.validateTogether(); err != nil || !routesNeedAddress {
		return err
	}
	return c.validateCovered()
}

func (c Config) validateMTU() error {
	switch {
	case c.MTU == 0:
		return nil
	case c.MTU < minMTU || c.MTU > maxMTU:
		return fmt.Errorf("mtu %d: must be %d to %d bytes", c.MTU, minMTU, maxMTU)
	case c.MTU < minMTUIPv6 && c.IPv6():
		return fmt.Errorf("mtu %d: IPv6 needs %d bytes or more", c.MTU, minMTUIPv6)
	}
	return nil
}

func (c Config) validateExclude(e netip.Prefix) error {
	if err := validatePrefix("exclude", e); err != nil {
		return err
	}
	inside := false
	for _, r := range c.Routes {
		if covers(e, r) {
			return fmt.Errorf("exclude %s: leaves nothing of route %s", e, r)
		}
		inside = inside || covers(r, e)
	}
	if !inside {
		return fmt.Errorf("exclude %s: is in none of the routes into the device", e)
	}
	return nil
}

// validateTogether finds values that are right alone and wrong beside another.
func (c Config) validateTogether() error {
	local := map[netip.Addr]bool{}
	for _, a := range c.Addrs {
		if local[a.Local.Addr()] {
			return fmt.Errorf("address %s: %s is given twice", a, a.Local.Addr())
		}
		local[a.Local.Addr()] = true
	}
	routed := map[netip.Prefix]string{}
	for _, a := range c.Addrs {
		if local[a.Peer] {
			return fmt.Errorf("address %s: the peer is an address of the device itself", a)
		}
		routed[a.destination()] = "comes with address " + a.String()
	}
	for _, r := range c.Routes {
		if why, ok := routed[r]; ok {
			return fmt.Errorf("route %s: %s already", r, why)
		}
		routed[r] = "is given"
	}
	return nil
}

// validateCovered finds a route that no address has the family of. Without any
// address there is one still to come (ReservePair), or it is another's business.
func (c Config) validateCovered() error {
	for _, r := range c.Routes {
		isOfFamily := func(a Addr) bool { return a.Local.Addr().BitLen() == r.Addr().BitLen() }
		if len(c.Addrs) == 0 || slices.ContainsFunc(c.Addrs, isOfFamily) {
			continue
		}
		pair, family := pair4(1), "IPv4"
		if r.Addr().Is6() {
			pair, family = pair6(1), "IPv6"
		}
		return fmt.Errorf("route %s: needs an %s address on the device, as --addr %s", r, family, pair)
	}
	return nil
}

func (a Addr) validate() error {
	if !a.Local.IsValid() {
		return errors.New("address: empty")
	}
	if why := unusable(a.Local.Addr()); why != "" {
		return fmt.Errorf("address %s: %s %s", a, a.Local.Addr(), why)
	}
	if a.Peer.IsValid() {
		return a.validatePair()
	}
	return a.validateSubnet()
}

func (a Addr) validatePair() error {
	switch why := unusable(a.Peer); {
	case why != "":
		return fmt.Errorf("address %s: %s %s", a, a.Peer, why)
	case !a.Local.IsSingleIP():
		return fmt.Errorf("address %s: %s has a subnet, which an address with a peer has not", a, a.Local)
	case a.Local.Addr().BitLen() != a.Peer.BitLen():
		return fmt.Errorf("address %s: one is IPv4 and the other IPv6", a)
	case a.Local.Addr() == a.Peer:
		return fmt.Errorf("address %s: local address and peer are the same", a)
	}
	return nil
}

func (a Addr) validateSubnet() error {
	// Two addresses or one have no network address (RFC 3021, RFC 6164).
	host := a.Local.Addr().BitLen() - a.Local.Bits()
	switch {
	case a.Local.Bits() == 0:
		return fmt.Errorf("address %s: a subnet of length 0 is everything: use a route", a)
	case host > 1 && a.Local == a.Local.Masked():
		first := netip.PrefixFrom(a.Local.Addr().Next(), a.Local.Bits())
		return fmt.Errorf("address %s: this is the network itself: use a host of it, %s, or a route", a, first)
	case a.Local.Addr() == broadcast(a.Local):
		return fmt.Errorf("address %s: this is the broadcast address of %s", a, a.Local.Masked())
	}
	return nil
}

func validatePrefix(what string, p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return fmt.Errorf("%s: empty", what)
	case p.Addr().Is4In6():
		return fmt.Errorf("%s %s: write IPv4 as IPv4", what, p)
	case p != p.Masked():
		return fmt.Errorf("%s %s: has bits set beyond its length: use %s", what, p, p.Masked())
	case p.Addr().IsLoopback():
		return fmt.Errorf("%s %s: the system never sends loopback packets to a device", what, p)
	case p.IsSingleIP() && p.Addr().IsUnspecified():
		return fmt.Errorf("%s %s: nothing can be sent to it", what, p)
	}
	return nil
}

// unusable says why no device can have ip, or "".
func unusable(ip netip.Addr) string {
	switch {
	case ip.Is4In6():
		return "must be written as IPv4"
	case ip.Zone() != "":
		return "has a zone: leave it out"
	case ip.IsUnspecified():
		return "is the unspecified address"
	case ip.IsLoopback():
		return "is a loopback address"
	case ip.IsMulticast():
		return "is a multicast address"
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	}
	return ""
}

// broadcast returns the last address of an IPv4 subnet that is large enough to
// have a broadcast address, and the zero Addr for all others.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	return lastAddr(p)
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
