package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/load"
	"github.com/tunrec/tunrec/tun"
)

// network is all that a recording changes of the machine: devices and addresses,
// routes, rules, settings.
func network(t testing.TB) string {
	t.Helper()
	const script = `ip -d addr; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule
		grep -rs . /proc/sys/net | grep -v -e conntrack_count -e /stable_secret | sort`
	out, err := exec.Command("sh", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestUndo ends recordings in every way there is: the network is as before.
func TestUndo(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(s *session) error
		args []string
	}{
		{"limit", func(*session) error { return nil }, []string{"-c", "3"}},
		{"SIGINT", func(s *session) error { return s.signal(unix.SIGINT) }, nil},
		{"SIGTERM, twice", func(s *session) error { return s.insist(unix.SIGTERM, unix.SIGTERM) }, nil},
		{"crash", func(s *session) error { return s.signal(unix.SIGABRT) }, nil}, // ends as a panic does
		{"SIGKILL", func(s *session) error { return s.signal(unix.SIGKILL) }, nil},
		{"SIGKILL, with root", func(s *session) error { return s.signal(unix.SIGKILL) }, []string{"--keep-root"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustIsolate(t)
			for _, line := range []string{"ip tuntap add eth0 mode tap", "ip addr add 192.0.2.2/24 dev eth0", "ip link set eth0 up",
				"ip route add default via 192.0.2.1", "ip -6 addr add fd99::2/64 dev eth0 nodad", "ip -6 route add default via fd99::1"} {
				args := strings.Fields(line)
				if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", line, err, out)
				}
			}
			before := network(t)
			for strings.Count(before, "\nlocal fd99::2 dev eth0") < 2 { // it follows the address a moment later, and is listed twice
				before = network(t)
			}
			s, _ := begin(t, append(test.args, "--addr", "10.1.0.10,10.1.0.20", "--addr", "fd00::1/64", "--route", "0.0.0.0/0", "--route", "::/0",
				"--exclude", "203.0.113.0/24", "--exclude", "2001:db8::/32", "--exclude", "192.0.2.0/24", "--exclude", "fd99::/64", "--force-config")...)
			if network(t) == before {
				t.Fatal("nothing has changed, so nothing is tested")
			}
			sendNumbered(t, load.Config{Packets: 3})
			if err := test.end(s); err != nil {
				t.Fatal(err)
			}
			if _, err := s.wait(); err != nil {
				t.Fatal(err)
			}
			after := ""
			defer func() {
				if t.Failed() {
					t.Logf("after:\n%s\nbefore:\n%s", after, before)
				}
			}()
			eventually(t, "the network is as before", func() bool { // the kernel may still be at it
				after = network(t)
				return after == before
			})
		})
	}
}

// TestManyAtOnce starts recorders at the same moment, in one namespace: each gets
// addresses of its own, and only its own packets.
func TestManyAtOnce(t *testing.T) {
	const recorders = 20
	mustIsolate(t)
	dir := t.TempDir()
	var all []*session
	start, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	for i := range recorders {
		cmd := exec.Command("sh", "-c", `read go; exec tunrec -o "$1".pcapng --slabs 4 --slab-size 64KiB --ring-size 256KiB`, "sh", fmt.Sprint(i))
		cmd.Dir, cmd.Stdin = dir, start
		s, err := launch(cmd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.kill)
		all = append(all, s)
	}
	start.Close()
	hold.Close() // each of them sees its end
	sessions := map[string]*session{}
	pair := regexp.MustCompile(`\(10\.(\d+)\.0\.10 → `)
	for _, s := range all {
		if err := s.recording(); err != nil {
			t.Fatal(err)
		}
		m := pair.FindStringSubmatch(s.stderr.String())
		if m == nil {
			t.Fatal(s.stderr.String())
		}
		if sessions[m[1]] != nil {
			t.Errorf("two have 10.%s", m[1])
		}
		sessions[m[1]] = s
	}
	for n := range sessions {
		if out, err := exec.Command("flood", "-to", "10."+n+".0.20", "-n", n).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for n, s := range sessions {
		if c := end(t, s); fmt.Sprint(c.recorded) != n {
			t.Errorf("10.%s recorded %d packets", n, c.recorded)
		}
	}
}

// TestAttachNothing: a device that goes while it is being taken is not made anew.
func TestAttachNothing(t *testing.T) {
	mustIsolate(t)
	o := options{device: tun.Config{Name: "gone0"}}
	d, err := o.attachDevice()
	if d != nil || err == nil || err.Error() != "device gone0 has just been removed" {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := net.InterfaceByName("gone0"); err == nil {
		t.Error("the device was made, and is left")
	}
}
