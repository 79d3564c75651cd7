package netconf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestParseAddr(t *testing.T) {
	const want = `: want LOCAL,PEER as in 10.1.0.10,10.1.0.20 or ADDRESS/LENGTH as in 10.9.0.1/24`
	for _, tt := range []struct{ in, target, err string }{
		{in: "10.1.0.10,10.1.0.20", target: "10.1.0.20"},
		{in: "fd00::1,fd00::2", target: "fd00::2"},
		{in: "10.9.0.1/24", target: "10.9.0.2"},
		{in: "10.9.0.254/24", target: "10.9.0.253"},
		{in: "10.9.0.2/30", target: "10.9.0.1"},
		{in: "10.9.0.0/31", target: "10.9.0.1"},
		{in: "10.9.0.1/31", target: "10.9.0.0"},
		{in: "10.9.0.1/32", target: "invalid IP"},
		{in: "fd00::1/64", target: "fd00::2"},
		{in: "fd00::/127", target: "fd00::1"},
		{in: "fe80::1/128", target: "invalid IP"},

		{in: "", err: `address ""` + want},
		{in: "10.9.0.1", err: `address "10.9.0.1"` + want},
		{in: "10.9.0.1/33", err: `address "10.9.0.1/33"` + want},
		{in: "10.1.0.10,", err: `address "10.1.0.10,"` + want},
		{in: "10.1.0.10/32,10.1.0.20", err: `address "10.1.0.10/32,10.1.0.20"` + want},
		{in: "10.1.0.10,10.1.0.20,10.1.0.30", err: `address "10.1.0.10,10.1.0.20,10.1.0.30"` + want},
		{in: "fe80::1%eth0,fe80::2", err: `address "fe80::1%eth0,fe80::2"` + want},

		{in: "fe80::1,fe80::2%eth0", err: "address fe80::1,fe80::2%eth0: fe80::2%eth0 has a zone: leave it out"},
		{in: "10.1.0.10,10.1.0.10", err: "address 10.1.0.10,10.1.0.10: local address and peer are the same"},
		{in: "10.1.0.10,fd00::1", err: "address 10.1.0.10,fd00::1: one is IPv4 and the other IPv6"},
		{in: "10.1.0.10,127.0.0.1", err: "address 10.1.0.10,127.0.0.1: 127.0.0.1 is a loopback address"},
		{in: "::1/128", err: "address ::1/128: ::1 is a loopback address"},
		{in: "0.0.0.0/8", err: "address 0.0.0.0/8: 0.0.0.0 is the unspecified address"},
		{in: "10.1.0.10,224.0.0.1", err: "address 10.1.0.10,224.0.0.1: 224.0.0.1 is a multicast address"},
		{in: "ff02::1/64", err: "address ff02::1/64: ff02::1 is a multicast address"},
		{in: "255.255.255.255/32", err: "address 255.255.255.255/32: 255.255.255.255 is the broadcast address"},
		{in: "::ffff:10.9.0.1/120", err: "address ::ffff:10.9.0.1/120: ::ffff:10.9.0.1 must be written as IPv4"},
		{in: "10.9.0.1/0", err: "address 10.9.0.1/0: a subnet of length 0 is everything: use a route"},
		{in: "10.9.0.0/24", err: "address 10.9.0.0/24: this is the network itself: use a host of it, 10.9.0.1/24, or a route"},
		{in: "10.9.0.0/30", err: "address 10.9.0.0/30: this is the network itself: use a host of it, 10.9.0.1/30, or a route"},
		{in: "fd00::/64", err: "address fd00::/64: this is the network itself: use a host of it, fd00::1/64, or a route"},
		{in: "10.9.1.255/23", err: "address 10.9.1.255/23: this is the broadcast address of 10.9.0.0/23"},
		{in: "10.9.0.3/30", err: "address 10.9.0.3/30: this is the broadcast address of 10.9.0.0/30"},
	} {
		a, err := ParseAddr(tt.in)
		if !sameError(err, tt.err) {
			t.Errorf("ParseAddr(%q): error\n %v, want\n %s", tt.in, err, tt.err)
		}
		if err != nil {
			continue
		}
		if a.String() != tt.in {
			t.Errorf("ParseAddr(%q).String() = %q", tt.in, a)
		}
		if got := a.Target().String(); got != tt.target {
			t.Errorf("ParseAddr(%q).Target() = %s, want %s", tt.in, got, tt.target)
		}
	}
}

func TestParseRoute(t *testing.T) {
	const want = `: want ADDRESS/LENGTH as in 192.0.2.0/24, or one address`
	for _, tt := range []struct{ in, prefix, err string }{
		{in: "192.0.2.0/24", prefix: "192.0.2.0/24"},
		{in: "192.0.2.7", prefix: "192.0.2.7/32"},
		{in: "2001:db8::/32", prefix: "2001:db8::/32"},
		{in: "2001:db8::7", prefix: "2001:db8::7/128"},
		{in: "0.0.0.0/0", prefix: "0.0.0.0/0"},
		{in: "::/0", prefix: "::/0"},
		{in: "224.0.0.0/4", prefix: "224.0.0.0/4"},

		{in: "", err: `route ""` + want},
		{in: "192.0.2/24", err: `route "192.0.2/24"` + want},
		{in: "192.0.2.0/33", err: `route "192.0.2.0/33"` + want},
		{in: "fe80::7%eth0", err: `route "fe80::7%eth0"` + want},
		{in: "192.0.2.1/24", err: "route 192.0.2.1/24: has bits set beyond its length: use 192.0.2.0/24"},
		{in: "2001:db8::1/32", err: "route 2001:db8::1/32: has bits set beyond its length: use 2001:db8::/32"},
		{in: "::ffff:192.0.2.0/120", err: "route ::ffff:192.0.2.0/120: write IPv4 as IPv4"},
		{in: "127.0.0.0/8", err: "route 127.0.0.0/8: the system never sends loopback packets to a device"},
		{in: "::1", err: "route ::1/128: the system never sends loopback packets to a device"},
		{in: "0.0.0.0", err: "route 0.0.0.0/32: nothing can be sent to it"},
	} {
		p, err := ParseRoute(tt.in)
		if !sameError(err, tt.err) {
			t.Errorf("ParseRoute(%q): error\n %v, want\n %s", tt.in, err, tt.err)
		}
		if err == nil && p.String() != tt.prefix {
			t.Errorf("ParseRoute(%q) = %s, want %s", tt.in, p, tt.prefix)
		}
	}
}

func TestValidate(t *testing.T) {
	pair := Addr{netip.MustParsePrefix("10.1.0.10/32"), netip.MustParseAddr("10.1.0.20")}
	subnet := Addr{Local: netip.MustParsePrefix("10.9.0.1/24")}
	subnet6 := Addr{Local: netip.MustParsePrefix("fd00::1/64")}
	route := netip.MustParsePrefix("192.0.2.0/24")
	route6 := netip.MustParsePrefix("2001:db8::/32")
	for _, tt := range []struct {
		config Config
		err    string
	}{
		{Config{}, ""},
		{Config{Addrs: []Addr{pair, subnet, subnet6}, Routes: []netip.Prefix{route, route6}, MTU: 1280}, ""},
		{Config{Addrs: []Addr{pair}, MTU: 1279}, ""},
		{Config{MTU: minMTU}, ""},
		{Config{MTU: 65535}, ""},

		{Config{MTU: -1}, fmt.Sprintf("mtu -1: must be %d to 65535 bytes", minMTU)},
		{Config{MTU: minMTU - 1}, fmt.Sprintf("mtu %d: must be %d to 65535 bytes", minMTU-1, minMTU)},
		{Config{MTU: 65536}, fmt.Sprintf("mtu 65536: must be %d to 65535 bytes", minMTU)},
		{Config{Addrs: []Addr{subnet6}, MTU: 1279}, "mtu 1279: IPv6 needs 1280 bytes or more"},
		{Config{Routes: []netip.Prefix{route6}, MTU: 1279}, "mtu 1279: IPv6 needs 1280 bytes or more"},
		{Config{Addrs: []Addr{{}}}, "address: empty"},
		{Config{Routes: []netip.Prefix{{}}}, "route: empty"},
		{Config{Addrs: []Addr{{Local: subnet.Local, Peer: pair.Peer}}},
			"address 10.9.0.1,10.1.0.20: 10.9.0.1/24 has a subnet, which an address with a peer has not"},
		{Config{Routes: []netip.Prefix{subnet.Local}}, "route 10.9.0.1/24: has bits set beyond its length: use 10.9.0.0/24"},
		{Config{Addrs: []Addr{subnet, subnet}}, "address 10.9.0.1/24: 10.9.0.1 is given twice"},
		{Config{Addrs: []Addr{pair, {Local: netip.MustParsePrefix("10.1.0.20/24")}}},
			"address 10.1.0.10,10.1.0.20: the peer is an address of the device itself"},
		{Config{Routes: []netip.Prefix{route, route}}, "route 192.0.2.0/24: is given already"},
		{Config{Addrs: []Addr{subnet}, Routes: []netip.Prefix{subnet.Local.Masked()}},
			"route 10.9.0.0/24: comes with address 10.9.0.1/24 already"},
		{Config{Addrs: []Addr{pair}, Routes: []netip.Prefix{netip.MustParsePrefix("10.1.0.20/32")}},
			"route 10.1.0.20/32: comes with address 10.1.0.10,10.1.0.20 already"},
	} {
		if err := tt.config.Validate(); !sameError(err, tt.err) {
			t.Errorf("%+v: error\n %v, want\n %s", tt.config, err, tt.err)
		}
	}
}

func TestIPv6(t *testing.T) {
	subnet6 := Addr{Local: netip.MustParsePrefix("fd00::1/64")}
	for _, tt := range []struct {
		config Config
		want   bool
	}{
		{Config{}, false},
		{Config{Addrs: []Addr{{Local: netip.MustParsePrefix("10.9.0.1/24")}}}, false},
		{Config{Addrs: []Addr{subnet6}}, true},
		{Config{Routes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}, true},
	} {
		if got := tt.config.IPv6(); got != tt.want {
			t.Errorf("%+v: IPv6() = %t", tt.config, got)
		}
	}
}

// What is accepted reads back as the same, and its target is another address
// that the device's routes lead to.
func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"10.1.0.10,10.1.0.20", "10.9.0.1/24", "fd00::1/64", "10.9.0.0/31", "fe80::1%a,fe80::2", "0.0.0.1/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddr(s)
		if err != nil {
			return
		}
		if again, err := ParseAddr(a.String()); err != nil || again != a {
			t.Errorf("%q → %s → %v, %v", s, a, again, err)
		}
		if target := a.Target(); target.IsValid() && (target == a.Local.Addr() || !a.destination().Contains(target)) {
			t.Errorf("%q: target %s", s, target)
		}
	})
}

func sameError(err error, want string) bool {
	if err == nil {
		return want == ""
	}
	return err.Error() == want
}

// The rule of macOS, looked at everywhere.
func TestRouteNeedsAddress(t *testing.T) {
	for _, tt := range []struct {
		addrs, routes string
		want          string
	}{
		{"", "192.0.2.0/24", ""},
		{"10.1.0.10,10.1.0.20", "192.0.2.0/24", ""},
		{"10.1.0.10,10.1.0.20", "192.0.2.0/24 2001:db8::/32", "route 2001:db8::/32: needs an IPv6 address on the device, as --addr fd00:10:1::10,fd00:10:1::20"},
		{"fd00::1/64", "::/0 0.0.0.0/0", "route 0.0.0.0/0: needs an IPv4 address on the device, as --addr 10.1.0.10,10.1.0.20"},
		{"fd00::1/64 10.9.0.1/24", "::/0 0.0.0.0/0", ""},
	} {
		var c Config
		for _, s := range strings.Fields(tt.addrs) {
			a, err := ParseAddr(s)
			if err != nil {
				t.Fatal(err)
			}
			c.Addrs = append(c.Addrs, a)
		}
		for _, s := range strings.Fields(tt.routes) {
			c.Routes = append(c.Routes, netip.MustParsePrefix(s))
		}
		got := ""
		if err := c.validateCovered(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s, %s: %q, want %q", tt.addrs, tt.routes, got, tt.want)
		}
	}
}
