package netconf

import (
	"errors"
	"net/netip"
	"testing"
)

func TestRouteConflicts(t *testing.T) {
	names := map[int]string{2: "eth0"}
	lifelines := []Lifeline{
		{netip.MustParseAddr("198.51.100.53"), "the name server"},
		{netip.MustParseAddr("2001:db8:53::53"), "the name server"},
		{netip.MustParseAddr("203.0.113.5"), "the other end of this SSH session"},
	}
	const lan6 = lan + ", ::/0 via fe80::1, fe80::/64, 2001:db8:1::/64"
	for _, tt := range []struct {
		name, addr, routes, exclude, system string
		table                               int
		want                                string
	}{
		{name: "free", routes: "198.18.0.0/15 2001:db8:18::/48", system: lan6},
		{name: "an empty machine", routes: "0.0.0.0/0 ::/0", system: ""},
		{name: "a machine without a default route", routes: "0.0.0.0/0", system: "192.0.2.0/24"},

		{name: "name server", routes: "198.51.0.0/16", system: lan6,
			want: "route 198.51.0.0/16: would take the name server, 198.51.100.53, into the device: leave it out with --exclude 198.51.100.53"},
		{name: "name server left out", routes: "198.51.0.0/16", exclude: "198.51.100.53/32", system: lan6},
		{name: "name server behind a route of its own", routes: "0.0.0.0/0", exclude: "203.0.113.5/32", system: lan6 + ", 198.51.100.0/24"},
		{name: "name server, IPv6", routes: "2001:db8::/32", exclude: "2001:db8:1::/64", system: lan6,
			want: "route 2001:db8::/32: would take the name server, 2001:db8:53::53, into the device: leave it out with --exclude 2001:db8:53::53"},
		{name: "name server in the subnet of an address", addr: "198.51.100.1/24", system: lan6,
			want: "address 198.51.100.1/24: would take the name server, 198.51.100.53, into the device: use another address"},
		{name: "unreachable now", routes: "198.51.0.0/16", system: "192.0.2.0/24"},
		{name: "SSH", routes: "203.0.113.5/32", system: lan6,
			want: "route 203.0.113.5/32: would take the other end of this SSH session, 203.0.113.5, into the device: leave it out with --exclude 203.0.113.5"},
		{name: "gateway", routes: "192.0.2.0/28", system: lan6,
			want: "route 192.0.2.0/28: would take the default gateway, 192.0.2.1, into the device: leave it out with --exclude 192.0.2.1"},
		{name: "beside the gateway", routes: "192.0.2.128/25", system: lan6},
		{name: "gateway left out", routes: "192.0.2.0/28", exclude: "192.0.2.1/32", system: lan6},

		{name: "inside", routes: "192.0.0.0/16", system: lan6,
			want: "route 192.0.0.0/16: 192.0.2.0/24 is routed to eth0: leave it out with --exclude 192.0.2.0/24"},
		{name: "inside, left out", routes: "192.0.0.0/16", exclude: "192.0.2.0/24", system: lan6},
		{name: "inside, in another table", routes: "198.18.0.0/15", system: lan6 + ", 198.18.7.0/24 table other"},
		{name: "the same", routes: "198.18.0.0/15", system: lan6 + ", 198.18.0.0/15",
			want: "route 198.18.0.0/15: 198.18.0.0/15 is routed to eth0: route only a part of it, or remove that route first"},

		{name: "default", routes: "0.0.0.0/0", system: lan,
			want: "route 0.0.0.0/0: would take the name server, 198.51.100.53, into the device: leave it out with --exclude 198.51.100.53\n" +
				"route 0.0.0.0/0: would take the other end of this SSH session, 203.0.113.5, into the device: leave it out with --exclude 203.0.113.5"},
		{name: "default, all left out", routes: "0.0.0.0/0", exclude: "198.51.100.53/32 203.0.113.5/32", system: lan},
		{name: "default in a table", routes: "0.0.0.0/0", system: lan, table: 7},
		{name: "default, another VPN's halves", routes: "0.0.0.0/0", exclude: "198.51.100.53/32 203.0.113.5/32", system: lan + ", 0.0.0.0/1, 128.0.0.0/1",
			want: "route 0.0.0.0/0: 0.0.0.0/1 is routed to eth0: route only a part of it, or remove that route first"},
	} {
		c := Config{Routes: prefixes(tt.routes), Exclude: prefixes(tt.exclude), Table: tt.table}
		if tt.addr != "" {
			c.Addrs = []Addr{mustAddr(t, tt.addr)}
		}
		conflicts, err := c.routeConflicts(fakeRoutes(tt.system), names, lifelines)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(conflicts...); !sameError(err, tt.want) {
			t.Errorf("%s:\n%v\nwant\n%s", tt.name, err, tt.want)
		}
	}
}

func TestDefaultRouteNeedsAnException(t *testing.T) {
	const want = "route 0.0.0.0/0: 0.0.0.0/0 is routed to eth0: name with --exclude what has to stay outside the device"
	names := map[int]string{2: "eth0"}
	c := Config{Routes: prefixes("0.0.0.0/0")}
	conflicts, err := c.routeConflicts(fakeRoutes(lan), names, nil)
	if err != nil || !sameError(errors.Join(conflicts...), want) {
		t.Errorf("%v, %v", conflicts, err)
	}
	c.Exclude = prefixes("192.0.2.0/24")
	if conflicts, err = c.routeConflicts(fakeRoutes(lan), names, nil); err != nil || len(conflicts) > 0 {
		t.Errorf("%v, %v", conflicts, err)
	}
}
