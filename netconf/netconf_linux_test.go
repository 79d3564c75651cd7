package netconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// enterNamespace puts the test's goroutine into an empty network namespace of
// its own. Its thread is never unlocked, so it ends with the test and takes the
// namespace along.
func enterNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("make a network namespace: %v (this test needs root)", err)
	}
}

// newTUN makes a device as a recorder would find it: down, with no address of
// its own making.
func newTUN(t *testing.T, name string) *os.File {
	t.Helper()
	tun := &netlink.Tuntap{
		LinkAttrs:  netlink.LinkAttrs{Name: name},
		Mode:       netlink.TUNTAP_MODE_TUN,
		Flags:      netlink.TUNTAP_NO_PI,
		NonPersist: true,
		Queues:     1,
	}
	if err := netlink.LinkAdd(tun); err != nil {
		t.Fatalf("make a tun device: %v", err)
	}
	t.Cleanup(func() { tun.Fds[0].Close() })
	ip(t, "link set "+name+" addrgenmode none")
	return tun.Fds[0]
}

func ip(t *testing.T, args string) []byte {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return out
}

func ipJSON[T any](t *testing.T, args string) (list []T) {
	t.Helper()
	out := ip(t, "-j "+args)
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatalf("ip -j %s: %v: %s", args, err, out)
	}
	return list
}

func TestApply(t *testing.T) {
	for _, tt := range []struct {
		name          string
		addrs, routes []string
		mtu           int
		wantMTU       int
		wantAddrs     []string // as shown by shownAddrs
		wantRoutes    []string // as shown by shownRoutes
		reach         []string // packets to these come out of the device
	}{
		{name: "nothing", wantMTU: 65535},
		{name: "pair", addrs: []string{"10.1.0.10,10.1.0.20"}, wantMTU: 65535,
			wantAddrs:  []string{"10.1.0.10 peer 10.1.0.20/32"},
			wantRoutes: []string{"10.1.0.20 kernel link"},
			reach:      []string{"10.1.0.20"}},
		{name: "subnet", addrs: []string{"10.9.0.1/24"}, wantMTU: 65535,
			wantAddrs:  []string{"10.9.0.1/24"},
			wantRoutes: []string{"10.9.0.0/24 kernel link"},
			reach:      []string{"10.9.0.2", "10.9.0.254"}},
		{name: "IPv6 pair", addrs: []string{"fd00::1,fd00::2"}, wantMTU: 65535,
			wantAddrs:  []string{"fd00::1 peer fd00::2/128 nodad"},
			wantRoutes: []string{"fd00::1 kernel", "fd00::2 kernel"},
			reach:      []string{"fd00::2"}},
		{name: "IPv6 subnet", addrs: []string{"fd00::1/64"}, wantMTU: 65535,
			wantAddrs:  []string{"fd00::1/64 nodad"},
			wantRoutes: []string{"fd00::/64 kernel"},
			reach:      []string{"fd00::ffff"}},
		{name: "single", addrs: []string{"10.9.0.1/32"}, wantMTU: 65535,
			wantAddrs: []string{"10.9.0.1/32"}},
		{name: "routes", wantMTU: 65535, mtu: 65535,
			addrs:  []string{"10.1.0.10,10.1.0.20", "10.9.0.1/24", "fd00::1/64"},
			routes: []string{"192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "2001:db8:1::7", "0.0.0.0/0", "::/0"},
			wantAddrs: []string{
				"10.1.0.10 peer 10.1.0.20/32", "10.9.0.1/24", "fd00::1/64 nodad"},
			wantRoutes: []string{
				"0.0.0.0/1 link", "10.1.0.20 kernel link", "10.9.0.0/24 kernel link", "128.0.0.0/1 link",
				"192.0.2.0/24 link", "198.51.100.7 link", "2001:db8:1::7", "2001:db8::/32", "8000::/1", "::/1", "fd00::/64 kernel"},
			reach: []string{"192.0.2.255", "198.51.100.7", "2001:db8::1", "203.0.113.1", "2001:db9::1"}},
		{name: "routes without addresses", wantMTU: 1280, mtu: 1280,
			routes:     []string{"192.0.2.0/24", "2001:db8::/32"},
			wantRoutes: []string{"192.0.2.0/24 link", "2001:db8::/32"}},
		{name: "small", addrs: []string{"10.1.0.10,10.1.0.20"}, mtu: 68, wantMTU: 68,
			wantAddrs:  []string{"10.1.0.10 peer 10.1.0.20/32"},
			wantRoutes: []string{"10.1.0.20 kernel link"},
			reach:      []string{"10.1.0.20"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enterNamespace(t)
			tun := newTUN(t, "t0")
			if err := Apply("t0", parseConfig(t, tt.addrs, tt.routes, tt.mtu)); err != nil {
				t.Fatal(err)
			}
			mtu, addrs := shownAddrs(t, "t0")
			if mtu != tt.wantMTU {
				t.Errorf("mtu %d, want %d", mtu, tt.wantMTU)
			}
			if !slices.Equal(addrs, tt.wantAddrs) {
				t.Errorf("addresses %q, want %q", addrs, tt.wantAddrs)
			}
			if got := shownRoutes(t, "t0"); !slices.Equal(got, tt.wantRoutes) {
				t.Errorf("routes %q, want %q", got, tt.wantRoutes)
			}
			for _, to := range tt.reach {
				sendTo(t, netip.MustParseAddr(to))
				awaitPacketTo(t, tun, netip.MustParseAddr(to))
			}
		})
	}
}

func parseConfig(t *testing.T, addrs, routes []string, mtu int) Config {
	t.Helper()
	c := Config{MTU: mtu}
	for _, s := range addrs {
		c.Addrs = append(c.Addrs, mustAddr(t, s))
	}
	for _, s := range routes {
		r, err := ParseRoute(s)
		if err != nil {
			t.Fatal(err)
		}
		c.Routes = append(c.Routes, r)
	}
	return c
}

// shownAddrs reads ip-address(8) and checks that the device is up.
func shownAddrs(t *testing.T, device string) (mtu int, addrs []string) {
	t.Helper()
	link := ipJSON[struct {
		Flags     []string
		MTU       int
		Addresses []struct {
			Local, Address, Broadcast string
			PrefixLen                 int
			NoDAD, Tentative          bool
		} `json:"addr_info"`
	}](t, "addr show dev "+device)[0]
	if !slices.Contains(link.Flags, "UP") {
		t.Errorf("device flags %q: not up", link.Flags)
	}
	for _, a := range link.Addresses {
		s := a.Local
		if a.Address != "" {
			s += " peer " + a.Address
		}
		s += fmt.Sprintf("/%d", a.PrefixLen)
		if a.Broadcast != "" {
			s += " broadcast " + a.Broadcast
		}
		if a.NoDAD {
			s += " nodad"
		}
		if a.Tentative {
			s += " tentative"
		}
		addrs = append(addrs, s)
	}
	return link.MTU, addrs
}

// shownRoutes reads the main tables from ip-route(8), sorted.
func shownRoutes(t *testing.T, device string) (routes []string) {
	t.Helper()
	type route struct{ Dst, Gateway, Protocol, Scope string }
	shown := slices.Concat(
		ipJSON[route](t, "-4 route show dev "+device),
		ipJSON[route](t, "-6 route show dev "+device))
	for _, r := range shown {
		routes = append(routes, strings.Join(strings.Fields(r.Dst+" "+r.Gateway+" "+r.Protocol+" "+r.Scope), " "))
	}
	slices.Sort(routes)
	return routes
}

func sendTo(t *testing.T, to netip.Addr) {
	t.Helper()
	family, sockaddr := unix.AF_INET, unix.Sockaddr(nil)
	if to.Is4() {
		sockaddr = &unix.SockaddrInet4{Port: 9, Addr: to.As4()}
	} else {
		family, sockaddr = unix.AF_INET6, &unix.SockaddrInet6{Port: 9, Addr: to.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, []byte("hello"), 0, sockaddr); err != nil {
		t.Fatalf("send to %s: %v", to, err)
	}
}

// awaitPacketTo reads the device until a UDP packet to the address comes; the
// kernel sends packets of its own in between.
func awaitPacketTo(t *testing.T, tun *os.File, to netip.Addr) {
	t.Helper()
	packet := make([]byte, 65535)
	for {
		wait := []unix.PollFd{{Fd: int32(tun.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(wait, 10_000); err == unix.EINTR {
			continue
		} else if err != nil || n == 0 {
			t.Fatalf("no packet to %s came out of the device (%v)", to, err)
		}
		n, err := unix.Read(int(tun.Fd()), packet)
		if err != nil {
			t.Fatal(err)
		}
		destination, protocol := packet[24:40], packet[6]
		if packet[0]>>4 == 4 {
			destination, protocol = packet[16:20], packet[9]
		}
		if got, _ := netip.AddrFromSlice(destination); got == to && protocol == unix.IPPROTO_UDP && n > 28 {
			return
		}
	}
}

func TestApplyErrors(t *testing.T) {
	const (
		pair   = "10.1.0.10,10.1.0.20"
		route  = "192.0.2.0/24"
		route6 = "2001:db8::/32"
	)
	dropPrivilege := func(t *testing.T) { // only of this thread, which ends with the test
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Fatal(err)
		}
	}
	noIPv6 := func(t *testing.T) {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/t0/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name          string
		prepare       func(t *testing.T)
		device        string
		addrs, routes []string
		mtu           int
		is            error
		message       string
	}{
		{name: "no device", device: "t9",
			message: "configure device t9: Link not found"},
		{name: "invalid", device: "t0", mtu: 1,
			message: "mtu 1: must be 68 to 65535 bytes"},
		{name: "no privilege for mtu", device: "t0", prepare: dropPrivilege, is: fs.ErrPermission,
			message: "set mtu 65535 on t0: operation not permitted: this needs root or CAP_NET_ADMIN"},
		{name: "route exists", device: "t0", addrs: []string{pair}, routes: []string{route}, is: fs.ErrExist,
			prepare: func(t *testing.T) {
				newTUN(t, "t1")
				ip(t, "link set t1 up")
				ip(t, "route add 192.0.2.0/24 dev t1")
			},
			message: "add route 192.0.2.0/24 to t0: file exists: see ip route show for where it goes now"},
		{name: "no IPv6 for address", device: "t0", prepare: noIPv6, addrs: []string{"fd00::1/64"}, is: fs.ErrPermission,
			message: "add address fd00::1/64 to t0: permission denied: IPv6 is switched off: see sysctl net.ipv6.conf.all.disable_ipv6"},
		{name: "no IPv6 for route", device: "t0", prepare: noIPv6, routes: []string{route6}, is: fs.ErrPermission,
			message: "add route 2001:db8::/32 to t0: permission denied: IPv6 is switched off: see sysctl net.ipv6.conf.all.disable_ipv6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enterNamespace(t)
			newTUN(t, "t0")
			if tt.prepare != nil {
				tt.prepare(t)
			}
			err := Apply(tt.device, parseConfig(t, tt.addrs, tt.routes, tt.mtu))
			if !sameError(err, tt.message) {
				t.Errorf("error\n %v, want\n %s", err, tt.message)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v is not %v", err, tt.is)
			}
		})
	}
}

func TestDefaultPair(t *testing.T) {
	const allTaken = "no pair of addresses from 10.1.0.10,10.1.0.20 to 10.254.0.10,10.254.0.20 is free (%s): choose one with --addr"
	for _, tt := range []struct {
		name          string
		prepare       []string // arguments of ip
		pair, skipped string
		err           string
	}{
		{name: "nothing", pair: "10.1.0.10,10.1.0.20"},
		{name: "default routes",
			prepare: []string{"route add default dev t1", "route add 0.0.0.0/1 dev t1", "route add 128.0.0.0/1 dev t1"},
			pair:    "10.1.0.10,10.1.0.20"},
		{name: "address",
			prepare: []string{"addr add 10.1.0.1/24 dev t1"},
			pair:    "10.2.0.10,10.2.0.20", skipped: "10.1.0.0/24 is on t1"},
		{name: "address of a device that is down",
			prepare: []string{"addr add 10.1.0.1/24 dev t1", "link set t1 down"},
			pair:    "10.2.0.10,10.2.0.20", skipped: "10.1.0.0/24 is on t1"},
		{name: "pair of another recorder",
			prepare: []string{"addr add 10.1.0.10 peer 10.1.0.20 dev t1"},
			pair:    "10.2.0.10,10.2.0.20", skipped: "10.1.0.10/32 is on t1"},
		{name: "peer",
			prepare: []string{"addr add 10.99.0.1 peer 10.1.0.20 dev t1"},
			pair:    "10.2.0.10,10.2.0.20", skipped: "10.1.0.20/32 is routed to t1"},
		{name: "several addresses",
			prepare: []string{"addr add 10.1.0.1/24 dev t1", "addr add 10.2.0.1/16 dev t1", "addr add 10.4.0.1/16 dev t1"},
			pair:    "10.3.0.10,10.3.0.20", skipped: "10.1.0.0/24 is on t1"},
		{name: "address elsewhere in 10",
			prepare: []string{"addr add 10.1.7.1/24 dev t1"},
			pair:    "10.1.0.10,10.1.0.20"},
		{name: "route of another table",
			prepare: []string{"route add 10.1.0.0/16 dev t1 table 77"},
			pair:    "10.2.0.10,10.2.0.20", skipped: "10.1.0.0/16 is routed to t1"},
		{name: "route to no device",
			prepare: []string{"route add blackhole 10.1.0.0/16"},
			pair:    "10.2.0.10,10.2.0.20", skipped: "10.1.0.0/16 is routed already"},
		{name: "covering route",
			prepare: []string{"route add 10.0.0.0/8 dev t1"},
			err:     fmt.Sprintf(allTaken, "10.0.0.0/8 is routed to t1")},
		{name: "covering subnet",
			prepare: []string{"addr add 10.77.0.1/8 dev t1"},
			err:     fmt.Sprintf(allTaken, "10.0.0.0/8 is on t1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enterNamespace(t)
			newTUN(t, "t0")
			newTUN(t, "t1")
			ip(t, "link set t1 up")
			for _, args := range tt.prepare {
				ip(t, args)
			}
			a, skipped, err := DefaultPair()
			if !sameError(err, tt.err) {
				t.Fatalf("error %v, want %s", err, tt.err)
			}
			if err != nil {
				return
			}
			if a.String() != tt.pair || skipped != tt.skipped {
				t.Errorf("%s, skipped %q; want %s, %q", a, skipped, tt.pair, tt.skipped)
			}
			if err := Apply("t0", Config{Addrs: []Addr{a}}); err != nil {
				t.Error(err)
			}
		})
	}
}
