package main

import (
	"net"
	"os/exec"
	"testing"

	"github.com/tunrec/tunrec/tun"
)

// TestKernelKeepsQuiet records with IPv6, where the kernel would solicit routers: the
// capture has what was sent into the device, and nothing else.
func TestKernelKeepsQuiet(t *testing.T) {
	mustIsolate(t)
	s, file := begin(t, "--addr", "fd00::1/64", "--addr", "fe80::1/64", "--route", "2001:db8::/32")
	waitForSolicitation(t)
	conn, err := net.Dial("udp", "[2001:db8::9]:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("marker")); err != nil {
		t.Fatal(err)
	}
	if c := end(t, s); c.recorded != 1 {
		t.Errorf("%d packets", c.recorded)
	}
	if err := wantPackets(file, 1); err != nil {
		t.Error(err)
	}
}

// waitForSolicitation makes another device, not a recorder's, and waits until the
// kernel has sent something into it: one that came up before has had its turn then.
func waitForSolicitation(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("ip", "tuntap", "add", "chatty", "mode", "tun").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d, err := tun.Open(tun.Config{Name: "chatty", Attach: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if out, err := exec.Command("ip", "link", "set", "chatty", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
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
		if n > 40 && packet[0]>>4 == 6 {
			return
		}
	}
}
