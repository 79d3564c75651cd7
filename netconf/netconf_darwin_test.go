package netconf

import (
	"net"
	"net/netip"
	"testing"

	xroute "golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// What is written to the routing socket has to mean what was asked for.
func TestRouteMessage(t *testing.T) {
	device := &net.Interface{Index: 7, Name: "utun7"}
	for _, tt := range []struct {
		prefix  string
		isHost  bool
		dst     xroute.Addr
		netmask xroute.Addr
	}{
		{prefix: "192.0.2.0/24", dst: &xroute.Inet4Addr{IP: [4]byte{192, 0, 2}}, netmask: &xroute.Inet4Addr{IP: [4]byte{255, 255, 255}}},
		{prefix: "192.0.2.7/32", dst: &xroute.Inet4Addr{IP: [4]byte{192, 0, 2, 7}}, isHost: true},
		{prefix: "0.0.0.0/0", dst: &xroute.Inet4Addr{}, netmask: &xroute.Inet4Addr{}},
		{prefix: "fd00::/8", dst: &xroute.Inet6Addr{IP: [16]byte{0xfd}}, netmask: &xroute.Inet6Addr{IP: [16]byte{0xff}}},
		{prefix: "fd00::/128", dst: &xroute.Inet6Addr{IP: [16]byte{0xfd}}, isHost: true},
	} {
		r := marshalAndParse(t, routeMessage(device, netip.MustParsePrefix(tt.prefix)))
		if isHost := r.Flags&unix.RTF_HOST != 0; isHost != tt.isHost {
			t.Errorf("%s: host route is %t", tt.prefix, isHost)
		}
		if want := unix.RTF_UP | unix.RTF_STATIC; r.Type != unix.RTM_ADD || r.Flags&^unix.RTF_HOST != want {
			t.Errorf("%s: type %d, flags %#x", tt.prefix, r.Type, r.Flags)
		}
		checkAddr(t, tt.prefix, r.Addrs[unix.RTAX_DST], tt.dst)
		checkAddr(t, tt.prefix, r.Addrs[unix.RTAX_NETMASK], tt.netmask)
		gateway, ok := r.Addrs[unix.RTAX_GATEWAY].(*xroute.LinkAddr)
		if !ok || gateway.Index != 7 || gateway.Name != "utun7" {
			t.Errorf("%s: gateway %+v", tt.prefix, r.Addrs[unix.RTAX_GATEWAY])
		}
	}
}

func TestDestination(t *testing.T) {
	device := &net.Interface{Index: 7, Name: "utun7"}
	for _, want := range []string{"192.0.2.0/24", "10.0.0.0/8", "192.0.2.7/32", "0.0.0.0/0", "128.0.0.0/1", "fd00::/8", "fd00::1/128", "::/0"} {
		r := marshalAndParse(t, routeMessage(device, netip.MustParsePrefix(want)))
		if got, ok := destination(r); !ok || got.String() != want {
			t.Errorf("destination: %s, %t; want %s", got, ok, want)
		}
	}
}

func marshalAndParse(t *testing.T, m *xroute.RouteMessage) *xroute.RouteMessage {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	messages, err := xroute.ParseRIB(xroute.RIBTypeRoute, b)
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	return messages[0].(*xroute.RouteMessage)
}

func checkAddr(t *testing.T, prefix string, got, want xroute.Addr) {
	t.Helper()
	same := got == want // both are missing
	switch want := want.(type) {
	case *xroute.Inet4Addr:
		a, ok := got.(*xroute.Inet4Addr)
		same = ok && *a == *want
	case *xroute.Inet6Addr:
		a, ok := got.(*xroute.Inet6Addr)
		same = ok && *a == *want
	}
	if !same {
		t.Errorf("%s: address %+v, want %+v", prefix, got, want)
	}
}
