package tun

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	testAddr6  = "fd00::10"
	testPeer6  = "fd00::20"
	firstWords = "this is the first packet"
	lastWords  = "this is the last packet"
)

// The ring, the device's own queue and tcpdump get the same packets: the same
// bytes, in the same order. For that the program returns, for once, what has
// the device queue the packet as well.
func TestRingReadAndTcpdumpAreTheSame(t *testing.T) {
	for _, mtu := range []int{1280, 1500, 9000, MaxPacket} {
		t.Run(strconv.Itoa(mtu), func(t *testing.T) { testSame(t, mtu) })
	}
}

func testSame(t *testing.T, mtu int) {
	newNamespace(t)
	d := openTest(t, Config{Ingest: IngestRing})
	bringUp(t, d, mtu)
	addr6 := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(testAddr6), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrAdd(linkOf(t, d), addr6); err != nil {
		t.Fatal(err)
	}
	alsoQueue(t, d)
	dump := startTcpdump(t, d)

	sendMix(t, mtu)

	inRing := takeUntilLast(t, d, d.rx)
	inQueue := takeUntilLast(t, d, plain{d.poll.fd})
	inTcpdump, pcap := dump.untilLast(t)

	compare(t, "the ring", "the queue", inRing, inQueue)
	compare(t, "the ring", "tcpdump", inRing, inTcpdump)
	check := exec.Command("tcpdump", "-n", "-vv", "-r", "-")
	check.Stdin = pcap
	out, err := check.CombinedOutput()
	wrong := regexp.MustCompile(`.*(incorrect|bad (udp )?cksum).*`)
	if err != nil || wrong.Match(out) {
		t.Errorf("checksums: %v, %q", err, wrong.FindAllString(string(out), 5))
	}
}

// alsoQueue has the device run the same program, but for its return value.
func alsoQueue(t *testing.T, d *Device) {
	t.Helper()
	r := d.rx.(*ring)
	instructions := r.program(r.clock)
	consume := &instructions[len(instructions)-2]
	if consume.Symbol() != "consume" {
		t.Fatalf("the last but one instruction is %v", consume)
	}
	consume.Constant = -1 // as many bytes as there are
	if err := attachProgram(d.poll.fd, instructions); err != nil {
		t.Fatal(err)
	}
}

// tcpdump is a running tcpdump.
type tcpdump struct {
	cmd    *exec.Cmd
	pcap   io.Reader
	stderr *bufio.Reader
}

// startTcpdump returns when it captures.
func startTcpdump(t *testing.T, d *Device) *tcpdump {
	t.Helper()
	c := &tcpdump{cmd: exec.Command("tcpdump", "-i", d.Name(), "-n", "-B", "65536", "-U", "-w", "-")}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("this test needs tcpdump: %v", err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	c.pcap, c.stderr = stdout, bufio.NewReader(stderr)
	for {
		line, err := c.stderr.ReadString('\n')
		if err != nil {
			t.Fatalf("tcpdump does not start: %q, %v", line, err)
		}
		if strings.Contains(line, "listening on") {
			return c
		}
	}
}

// untilLast returns the packets until the last one, also as a file, and ends tcpdump.
func (c *tcpdump) untilLast(t *testing.T) (packets [][]byte, pcap *bytes.Buffer) {
	t.Helper()
	pcap = new(bytes.Buffer)
	r, err := pcapgo.NewReader(io.TeeReader(c.pcap, pcap))
	if err != nil {
		t.Fatal(err)
	}
	for len(packets) == 0 || !isLast(packets[len(packets)-1]) {
		packet, info, err := r.ReadPacketData()
		if err != nil || info.CaptureLength != info.Length {
			t.Fatal(info, err)
		}
		packets = append(packets, packet)
	}
	c.cmd.Process.Signal(os.Interrupt)
	io.Copy(io.Discard, c.pcap)
	rest, _ := io.ReadAll(c.stderr)
	if err := c.cmd.Wait(); err != nil || !bytes.Contains(rest, []byte("\n0 packets dropped by kernel")) {
		t.Errorf("tcpdump: %v: %s", err, rest)
	}
	return packets, pcap
}

// fromFirst leaves out what the kernel said of itself before.
func fromFirst(packets [][]byte) [][]byte {
	return packets[max(0, slices.IndexFunc(packets, func(p []byte) bool { return bytes.HasSuffix(p, []byte(firstWords)) })):]
}

func isLast(packet []byte) bool { return bytes.HasSuffix(packet, []byte(lastWords)) }

func takeUntilLast(t *testing.T, d *Device, from receiver) (packets [][]byte) {
	t.Helper()
	dst := make([]byte, MaxPacket)
	for {
		n, origLen, _, err := from.receive(dst, nil)
		if err != nil || n != origLen {
			t.Fatal(n, origLen, err)
		}
		if n == 0 {
			if err := d.Wait(-1); err != nil {
				t.Fatal(err)
			}
			continue
		}
		packets = append(packets, bytes.Clone(dst[:n]))
		if isLast(dst[:n]) {
			return packets
		}
	}
}

func compare(t *testing.T, nameA, nameB string, a, b [][]byte) {
	t.Helper()
	a, b = fromFirst(a), fromFirst(b)
	if len(a) != len(b) {
		t.Fatalf("%s has %d packets, %s %d", nameA, len(a), nameB, len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			t.Fatalf("packet %d of %d: %s has\n%x, %s\n%x", i, len(a), nameA, a[i], nameB, b[i])
		}
	}
}

// sendMix sends what packets can be made of: small and large datagrams,
// fragments, what the kernel segments (UDP_SEGMENT, TCP), over IPv4 and IPv6.
func sendMix(t *testing.T, mtu int) {
	t.Helper()
	peer := dialPeer(t)
	send(t, peer, []byte(firstWords))
	for _, to := range []string{testPeer, testPeer6} {
		conn, err := net.Dial("udp", net.JoinHostPort(to, "9"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, size := range []int{1, 2, 100, mtu - 48, mtu - 28, mtu - 27, 3 * mtu / 2, 5 * mtu, 65000} {
			if size <= 65000 {
				send(t, conn, pattern(size))
			}
		}
		segmenting(t, conn.(*net.UDPConn), 100)
		for range 20 {
			send(t, conn, pattern(60*100+1))
		}
		sendTCP(t, to, pattern(40_000))
	}
	send(t, peer, []byte(lastWords))
}

// sendTCP sends over a connection that the kernel believes to be established
// (TCP_REPAIR): nobody answers here.
func sendTCP(t *testing.T, peer string, payload []byte) {
	t.Helper()
	ip, family := net.ParseIP(peer), unix.AF_INET6
	to := unix.Sockaddr(&unix.SockaddrInet6{Port: 9, Addr: [16]byte(ip.To16())})
	if ip4 := ip.To4(); ip4 != nil {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: 9, Addr: [4]byte(ip4)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	// struct tcp_repair_window of linux/tcp.h: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup
	var window [20]byte
	binary.NativeEndian.PutUint32(window[4:], 1<<20)
	binary.NativeEndian.PutUint32(window[8:], 1<<20)
	steps := []struct {
		what string
		do   func() error
	}{
		{"repair", func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON) }},
		{"connect", func() error { return unix.Connect(fd, to) }},
		{"window", func() error {
			return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR_WINDOW, string(window[:]))
		}},
		{"end of repair", func() error {
			return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_OFF_NO_WP)
		}},
		{"write", func() error { _, err := unix.Write(fd, payload); return err }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("TCP %s: %v", step.what, err)
		}
	}
}
