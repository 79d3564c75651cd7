// Package netconf gives a TUN device its addresses, its MTU and its routes,
// and finds a pair of addresses that this machine does not use yet.
//
// A way through the files: netconf.go (what can be asked for), validate.go
// (what is refused without looking at the machine), check.go (what is refused
// because of what the machine has; lifeline*.go, what it must not lose), pair.go
// and reserve_*.go (the default pair), routes.go (which routes are added),
// netconf_linux.go and netconf_darwin.go (how the system is told), request.go
// (the ioctl requests of macOS, byte by byte).
//
// There is no undo: nothing but the device is changed, and an address or a route
// goes with its device, so whoever opened the device closes it when Apply fails.
package netconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Addr is one address of the device: a point-to-point pair, or an address with
// the subnet that it stands in.
type Addr struct {
	// Local is the device's own address, with the length of its subnet. In a
	// pair the length is that of the whole address: 32 or 128.
	Local netip.Prefix
	// Peer is the other end of a pair; the zero Addr means that there is none.
	Peer netip.Addr
}

// String returns what ParseAddr reads: "10.1.0.10,10.1.0.20" or "10.9.0.1/24".
func (a Addr) String() string {
	if a.Peer.IsValid() {
		return a.Local.Addr().String() + "," + a.Peer.String()
	}
	return a.Local.String()
}

// Target returns an address whose packets the system routes into the device
// because of a: the peer, or a neighbour of the local address in its subnet. It
// is the zero Addr where there is none, as for 10.9.0.1/32.
func (a Addr) Target() netip.Addr {
	if a.Peer.IsValid() {
		return a.Peer
	}
	for _, t := range []netip.Addr{a.Local.Addr().Next(), a.Local.Addr().Prev()} {
		if a.Local.Contains(t) && t != broadcast(a.Local) {
			return t
		}
	}
	return netip.Addr{}
}

// destination returns what a alone makes the system route into the device.
func (a Addr) destination() netip.Prefix {
	if a.Peer.IsValid() {
		return netip.PrefixFrom(a.Peer, a.Peer.BitLen())
	}
	return a.Local.Masked()
}

// Config is what a device gets. The zero Config only brings the device up.
type Config struct {
	Addrs []Addr
	// Routes are the destinations, beside those of Addrs, that the system
	// routes into the device, without bits set beyond their length. macOS
	// needs an address of a route's family on the device.
	//
	// A default route, 0.0.0.0/0 or ::/0, is added as its two halves, so that
	// the one that the machine has stays where it is.
	Routes []netip.Prefix
	// Exclude are the parts of Routes that stay outside the device, each inside
	// one of Routes: they go where they would without the device.
	Exclude []netip.Prefix
	// Metric of Routes, on Linux; 0 leaves it to the system. The lowest wins.
	Metric int
	// Table, on Linux, is the routing table (ip-rule(8)) that Routes are added
	// to, 1 to 4294967295; 0 is the main one. There a default route is one.
	Table int
	// MTU in bytes; 0 is DefaultMTU.
	//
	// On Linux that is the largest there is: nobody is behind the device whom a packet
	// could be too long for. With a smaller one the kernel would cut longer packets
	// into fragments, or answer them where that is forbidden (fragmentation needed,
	// packet too big), and the device would not see what was sent. On macOS it is 0:
	// the system's own, 1500.
	MTU int
}

// IPv6 reports whether an address or a route is IPv6.
func (c Config) IPv6() bool {
	return slices.ContainsFunc(c.Addrs, func(a Addr) bool { return a.Local.Addr().Is6() }) ||
		slices.ContainsFunc(c.Routes, func(r netip.Prefix) bool { return r.Addr().Is6() })
}

// Apply gives the device called name its MTU and its addresses, brings it up,
// and adds the routes. The device must exist, in the network namespace of the
// calling thread. The error names the step that failed and wraps the system's
// errno; what was done before it stays. See Check for what should be asked
// before.
func Apply(name string, c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return apply(name, c)
}

// ParseAddr reads a pair, "10.1.0.10,10.1.0.20" or "fd00::1,fd00::2", or an
// address with the length of its subnet, "10.9.0.1/24" or "fd00::1/64".
func ParseAddr(s string) (Addr, error) {
	a, ok := splitAddr(s)
	if !ok {
		return Addr{}, fmt.Errorf("address %q: want LOCAL,PEER as in 10.1.0.10,10.1.0.20 or ADDRESS/LENGTH as in 10.9.0.1/24", s)
	}
	return a, a.validate()
}

func splitAddr(s string) (Addr, bool) {
	local, peer, isPair := strings.Cut(s, ",")
	if !isPair {
		p, err := netip.ParsePrefix(s)
		return Addr{Local: p}, err == nil
	}
	l, lerr := netip.ParseAddr(local)
	p, perr := netip.ParseAddr(peer)
	return Addr{Local: netip.PrefixFrom(l, l.BitLen()), Peer: p}, lerr == nil && perr == nil && l.Zone() == ""
}

// ParseRoute reads a destination, "192.0.2.0/24" or "2001:db8::/32". An address
// without a length is that one host. Bits set beyond the length are refused:
// they are more often a slip of the length than of the address.
func ParseRoute(s string) (netip.Prefix, error) { return parsePrefix("route", s) }

// ParseExclude reads what Config.Exclude takes, as ParseRoute does.
func ParseExclude(s string) (netip.Prefix, error) { return parsePrefix("exclude", s) }

func parsePrefix(what, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if host, herr := netip.ParseAddr(s); herr == nil && host.Zone() == "" {
		p, err = netip.PrefixFrom(host, host.BitLen()), nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s %q: want ADDRESS/LENGTH as in 192.0.2.0/24, or one address", what, s)
	}
	return p, validatePrefix(what, p)
}
