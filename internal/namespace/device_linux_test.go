package namespace

import (
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/tun"
)

// TestDeviceInside makes a device in another namespace, gives it an address there,
// and takes its packets from outside.
func TestDeviceInside(t *testing.T) {
	mountNamespace(t)
	if out, err := exec.Command("ip", "netns", "add", "other").CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v: %s", err, out)
	}
	var d *tun.Device
	var pair netconf.Addr
	err := Do("other", func() (err error) {
		if d, err = tun.Open(tun.Config{Name: "inside"}); err != nil {
			return err
		}
		if pair, _, err = netconf.ReservePair(); err != nil {
			return err
		}
		c := netconf.Config{Addrs: []netconf.Addr{pair}}
		if err := netconf.Check(c, nil); err != nil {
			return err
		}
		return netconf.Apply("inside", c)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := net.InterfaceByName("inside"); err == nil {
		t.Error("the device is outside")
	}
	err = Do("other", func() error {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(pair.Peer, 9)))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("from inside"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, tun.MaxPacket)
	for {
		n, _, _, err := d.Next(packet, nil)
		if err == nil && n == 0 {
			err = d.Wait(-1)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(packet[:n]), "from inside") {
			break
		}
	}
	if n, _, err := d.Drops(); n != 0 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
}
