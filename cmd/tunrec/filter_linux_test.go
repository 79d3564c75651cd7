package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFilteredRecording records by an expression what a device is sent. libpcap
// finds nothing in the file that the expression is against, and everything that
// was sent for it; every count says so.
func TestFilteredRecording(t *testing.T) {
	const small, domain, domain6, echo, syn = 60, 40, 30, 10, 5 // packets of sendMixed
	for expression, want := range map[string]uint64{
		"udp port 53":                               domain + domain6,
		"ip and udp dst port 9":                     small,
		"icmp[icmptype] = icmp-echo":                echo,
		"tcp[tcpflags] & (tcp-syn|tcp-ack) = 2":     syn,
		"ip6 and greater 500":                       domain6,
		"src host 10.1.0.10 and not port 53":        small + echo + syn,
		"net 10.1.0.0/24 and (icmp or tcp port 80)": echo + syn,
		"portrange 50-60 and less 500":              domain,
		"len > 1000000 or ip proto \\icmp":          echo,
	} {
		t.Run(expression, func(t *testing.T) {
			mustIsolate(t)
			s, file := begin(t, "--addr", "10.1.0.10,10.1.0.20", "--addr", "fd00::1/64", expression)
			sendMixed(t, small, domain, domain6, echo, syn)
			c := end(t, s)
			if c.lost() > 0 || c.recorded != want || c.received != c.recorded+c.filtered || c.filtered < small {
				t.Errorf("want %d packets recorded, the others filtered, and none lost: %+v", want, c)
			}
			for judged, want := range map[string]int{expression: int(want), "not (" + expression + ")": 0, "": int(want)} {
				got, err := piped(file, fmt.Sprintf("tcpdump -n -r - --count '%s' 2>/dev/null", judged))
				if err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("tcpdump -r finds %d packets of %q in the file, want %d", got, judged, want)
				}
			}
			shown, err := exec.Command("capinfos", file).CombinedOutput()
			if err != nil || !strings.Contains(string(shown), "Filter string = "+expression) {
				t.Errorf("capinfos does not show the filter %q: %v:\n%s", expression, err, shown)
			}
			const ifrecv, filteraccept, usrdeliv = 4, 6, 8 // isb_ options
			isb := statisticsBlock(t, file)
			if isb[ifrecv] != c.received || isb[filteraccept] != c.recorded || isb[usrdeliv] != c.recorded {
				t.Errorf("the file's statistics are %v, the closing counts %+v", isb, c)
			}
		})
	}
}

// sendMixed sends small packets to UDP port 9 and others to port 53, over IPv4
// and IPv6, pings, and SYNs to TCP port 80.
func sendMixed(t *testing.T, small, domain, domain6, echo, syn int) {
	t.Helper()
	for _, to := range []struct {
		network, addr string
		packets, size int
	}{
		{"udp4", "10.1.0.20:9", small, 10},
		{"udp4", "10.1.0.20:53", domain, 100},
		{"udp6", "[fd00::2]:53", domain6, 1000},
	} {
		conn, err := net.Dial(to.network, to.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range to.packets {
			if _, err := conn.Write(make([]byte, to.size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	ping := exec.Command("ping", "-q", "-c", fmt.Sprint(echo), "-i", "0.002", "-W", "0.01", "10.1.0.20")
	if out, err := ping.CombinedOutput(); !strings.Contains(string(out), fmt.Sprintf("%d packets transmitted", echo)) {
		t.Fatalf("ping: %v: %s", err, out)
	}
	for range syn {
		// To be closed before the SYN is sent again.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{10, 1, 0, 20}}); err != unix.EINPROGRESS {
			t.Fatalf("connect: %v", err)
		}
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
	}
}

// statisticsBlock returns the numbers in the options of a capture's Interface
// Statistics Block (pcapng draft §4.6), by their codes.
func statisticsBlock(t *testing.T, file string) map[uint16]uint64 {
	t.Helper()
	b, err := exec.Command("zstd", "-dcq", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for ; len(b) >= 12; b = b[le.Uint32(b[4:]):] {
		if le.Uint32(b) != 5 {
			continue
		}
		numbers := map[uint16]uint64{}
		for o := b[20:]; le.Uint16(o) != 0; o = o[4+le.Uint16(o[2:]):] {
			numbers[le.Uint16(o)] = le.Uint64(o[4:])
		}
		return numbers
	}
	t.Fatalf("%s has no Interface Statistics Block", file)
	return nil
}
