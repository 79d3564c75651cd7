package tun

import (
	"net"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	testAddr = "10.1.0.10"
	testPeer = "10.1.0.20"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes tun devices in a network namespace of its own: run it as root")
	}
}

// newNamespace moves the test, on its own thread, into a network namespace of
// its own until it ends. The test's other goroutines are not in it, and neither
// are its subtests.
func newNamespace(t testing.TB) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Errorf("back to the first network namespace: %v", err)
			return // the thread stays locked, and so ends with the goroutine
		}
		home.Close()
		runtime.UnlockOSThread()
	})
}

func openTest(t testing.TB, c Config) *Device {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// bringUp gives the device its addresses and the MTU, and sets it up.
func bringUp(t testing.TB, d *Device, mtu int) {
	t.Helper()
	link := linkOf(t, d)
	addr := &netlink.Addr{
		IPNet: &net.IPNet{IP: net.ParseIP(testAddr), Mask: net.CIDRMask(32, 32)},
		Peer:  &net.IPNet{IP: net.ParseIP(testPeer), Mask: net.CIDRMask(32, 32)},
	}
	for _, err := range []error{
		netlink.LinkSetMTU(link, mtu), netlink.AddrAdd(link, addr), netlink.LinkSetUp(link),
	} {
		if err != nil {
			t.Fatalf("set up %s: %v", d.Name(), err)
		}
	}
}

func linkOf(t testing.TB, d *Device) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(d.Name())
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// dialPeer returns a socket whose datagrams go into the device.
func dialPeer(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.ParseIP(testPeer), Port: 9})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// upDevice returns a device that is up in a namespace of its own, and a socket
// that sends into it.
func upDevice(t testing.TB, c Config, mtu int) (*Device, *net.UDPConn) {
	t.Helper()
	newNamespace(t)
	d := openTest(t, c)
	bringUp(t, d, mtu)
	return d, dialPeer(t)
}

func send(t testing.TB, conn net.Conn, payload []byte) {
	t.Helper()
	if _, err := conn.Write(payload); err != nil {
		t.Fatalf("send %d bytes: %v", len(payload), err)
	}
}

// onDoomedThread runs f in a network namespace of its own, on a thread that ends
// with it, so that f may do to the thread what cannot be undone.
func onDoomedThread(t *testing.T, f func() error) error {
	t.Helper()
	needRoot(t)
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// dropCapabilities leaves root's thread as weak as any user's.
func dropCapabilities() error { return setCapabilities() }

// setCapabilities drops all but these.
func setCapabilities(keep ...int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, c := range keep {
		data[c/32].Effective |= 1 << (c % 32)
		data[c/32].Permitted |= 1 << (c % 32)
	}
	return os.NewSyscallError("capset", unix.Capset(&header, &data[0]))
}
