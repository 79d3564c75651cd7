package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/load"
)

// begin starts a recording in a folder of its own, from the namespaces of the
// calling thread, to the file it returns.
func begin(t testing.TB, args ...string) (s *session, file string) {
	t.Helper()
	dir := t.TempDir()
	s, err := startSession(dir, append([]string{"-o", "capture.pcapng"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s, filepath.Join(dir, "capture.pcapng.zst")
}

// end stops a recording and returns its closing counts.
func end(t testing.TB, s *session) counts {
	t.Helper()
	err := s.signal(unix.SIGINT)
	if errors.Is(err, os.ErrProcessDone) { // by a limit
		err = nil
	}
	code, werr := s.wait()
	if err := errors.Join(err, werr); err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, &s.stderr)
	}
	c, err := parseCounts(s.stderr.String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sendNumbered sends numbered packets to the peer of the default pair.
func sendNumbered(t testing.TB, c load.Config) uint64 {
	t.Helper()
	c.Dst = netip.MustParseAddrPort("10.1.0.20:9")
	r, err := load.Send(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != c.Packets || r.NoBuffers != 0 {
		t.Fatalf("sent %d packets of %d, %d without buffers", r.Sent, c.Packets, r.NoBuffers)
	}
	return r.Sent
}

// TestEveryPacket floods the device with numbered packets: each one is in the
// file, in order and whole, or is counted as dropped.
func TestEveryPacket(t *testing.T) {
	for _, test := range []struct {
		name  string
		load  load.Config
		args  []string
		drops bool // there must be some
	}{
		{"million", load.Config{Packets: 1_000_000, PayloadBytes: 100, Segments: 32}, nil, false},
		{"read", load.Config{Packets: 300_000, PayloadBytes: 100, Segments: 32}, []string{"--ingest", "read"}, false},
		{"random", load.Config{Packets: 50_000, PayloadBytes: 1472, Segments: 16, Random: true}, nil, false},
		{"small ring", load.Config{Packets: 300_000, PayloadBytes: 500, Segments: 64, Random: true},
			[]string{"--ingest", "ring", "--ring-size", "1MiB", "--workers", "1", "--compress", "zstd:better"}, true},
		{"short queue", load.Config{Packets: 200_000, PayloadBytes: 100, Segments: 64}, []string{"--ingest", "read", "--queue", "8"}, true},
		{"few slabs", load.Config{Packets: 100_000, PayloadBytes: 1000, Segments: 32, Random: true},
			[]string{"--slabs", "4", "--slab-size", "64KiB", "--workers", "1", "--compress", "zstd:best"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustIsolate(t)
			began := time.Now()
			s, file := begin(t, test.args...)
			sent := sendNumbered(t, test.load)
			c := endLossy(t, s)
			checkNumbered(t, file, test.load, c, began, time.Now())
			if got := c.recorded + c.lost(); got != sent {
				t.Errorf("sent %d packets, but %d recorded + %d dropped = %d", sent, c.recorded, c.lost(), got)
			}
			if test.drops && c.byQueue == 0 {
				t.Error("nothing was dropped, so nothing is tested")
			}
			t.Logf("%+v", c)
		})
	}
}

// endLossy is end for a recording that may have lost packets after they had
// been read, and says so by its exit code.
func endLossy(t testing.TB, s *session) counts {
	t.Helper()
	if err := s.signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	code, err := s.wait()
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseCounts(s.stderr.String())
	if err != nil {
		t.Fatal(err)
	}
	want := exitOK
	if c.noMemory+c.byWrite > 0 {
		want = exitLost
	}
	if code != want {
		t.Errorf("exit code %d, want %d:\n%s", code, want, &s.stderr)
	}
	return c
}

// checkNumbered checks the packets of a file, one by one, and that every judge
// counts as many as tunrec.
func checkNumbered(t testing.TB, file string, sent load.Config, c counts, began, ended time.Time) {
	t.Helper()
	next, last := uint64(0), began.UnixNano()
	packets, wrong := uint64(0), 0
	dropped := readCapture(t, file, func(info gopacket.CaptureInfo, data []byte) {
		packets++
		number, sentAt, err := parseNumbered(data, sent)
		at := info.Timestamp.UnixNano()
		switch {
		case err != nil:
		case info.Length != len(data):
			err = fmt.Errorf("captured %d bytes of %d", len(data), info.Length)
		case number < next:
			err = fmt.Errorf("number %d came after %d", number, next-1)
		case at < last:
			err = fmt.Errorf("stamped %d, before the packet or the recording before it, %d", at, last)
		case at < sentAt:
			err = fmt.Errorf("stamped %d, before it was sent, %d", at, sentAt)
		}
		if err != nil {
			if wrong++; wrong <= 5 {
				t.Errorf("packet %d: %v", packets, err)
			}
			return
		}
		next, last = number+1, at
	})
	if last > ended.UnixNano() {
		t.Errorf("last packet stamped %d, after the recording ended, %d", last, ended.UnixNano())
	}
	if packets != c.recorded {
		t.Errorf("%d packets in the file, %d recorded by the closing counts", packets, c.recorded)
	}
	if dropped != c.lost() {
		t.Errorf("%d dropped by the file's statistics, %d by the closing counts", dropped, c.lost())
	}
	if err := wantPackets(file, int(c.recorded)); err != nil {
		t.Error(err)
	}
}

// parseNumbered checks an IPv4 packet of load's, whole: by what is known of
// it, and by both checksums for the rest.
func parseNumbered(b []byte, sent load.Config) (number uint64, sentAt int64, err error) {
	const ip, udp = 20, 8
	if len(b) != ip+udp+sent.PayloadBytes {
		return 0, 0, fmt.Errorf("%d bytes, want %d", len(b), ip+udp+sent.PayloadBytes)
	}
	u := b[ip:]
	switch {
	case b[0] != 0x45 || int(binary.BigEndian.Uint16(b[2:])) != len(b) || b[9] != unix.IPPROTO_UDP || sum(0, b[:ip]) != 0xffff:
		return 0, 0, fmt.Errorf("IPv4 header % x", b[:ip])
	case !bytes.Equal(b[12:20], []byte{10, 1, 0, 10, 10, 1, 0, 20}):
		return 0, 0, fmt.Errorf("addresses %v → %v", net.IP(b[12:16]), net.IP(b[16:20]))
	case binary.BigEndian.Uint16(u[2:]) != 9 || int(binary.BigEndian.Uint16(u[4:])) != len(u):
		return 0, 0, fmt.Errorf("UDP header % x", u[:udp])
	case sum(unix.IPPROTO_UDP+uint32(len(u)), b[12:20], u) != 0xffff:
		return 0, 0, errors.New("wrong UDP checksum")
	}
	payload := u[udp:]
	number, sentAt, ok := load.ParsePayload(payload)
	if !ok || number >= sent.Packets {
		return 0, 0, fmt.Errorf("payload % x", payload[:load.HeaderBytes])
	}
	if fill := payload[load.HeaderBytes:]; !sent.Random && len(bytes.Trim(fill, "\x00")) > 0 {
		return 0, 0, errors.New("the fill is not all zeros")
	}
	return number, sentAt, nil
}

// sum is the ones' complement sum of the Internet checksum (RFC 1071), 0xffff
// where the checksum in the data is right.
func sum(start uint32, parts ...[]byte) uint16 {
	total := start
	for _, b := range parts {
		for ; len(b) >= 2; b = b[2:] {
			total += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			total += uint32(b[0]) << 8
		}
		total = total>>16 + total&0xffff
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

// TestEveryByte compares a recording of IPv4 and IPv6 packets of every size,
// and of fragments, byte by byte with what tcpdump sees at the same device.
func TestEveryByte(t *testing.T) {
	mustIsolate(t)
	const mtu = 1500
	s, file := begin(t, "-i", "tunrec0", "--mtu", "1500", "--addr", "10.1.0.10,10.1.0.20", "--addr", "fd00::1/64")
	type destination struct {
		network, addr string
		headers       int // of IP and UDP
		perFragment   int // bytes of UDP, a multiple of 8; an IPv6 fragment has a header of 8 more
	}
	v4 := destination{"udp4", "10.1.0.20:9", 20 + 8, (mtu - 20) &^ 7}
	v6 := destination{"udp6", "[fd00::2]:9", 40 + 8, (mtu - 40 - 8) &^ 7}
	sizes := map[destination][]int{}
	packets := 0
	for _, to := range []destination{v4, v6} {
		for size := 0; size <= mtu-to.headers; size++ {
			sizes[to] = append(sizes[to], size)
		}
		packets += len(sizes[to])
		large := []int{mtu - to.headers + 1, 4000, 65535 - to.headers}
		for _, size := range large {
			packets += (size + 8 + to.perFragment - 1) / to.perFragment
		}
		sizes[to] = append(sizes[to], large...)
	}

	reference := filepath.Join(t.TempDir(), "reference.pcap")
	witness := exec.Command("tcpdump", "-i", "tunrec0", "-n", "-B", "16384", "--time-stamp-precision=nano",
		"-c", fmt.Sprint(packets), "-w", reference, "udp or ip6[6] = 44")
	listening := transcript{want: "listening on", seen: make(chan struct{})}
	witness.Stderr = &listening
	if err := witness.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- witness.Wait() }()
	defer witness.Process.Kill()
	select {
	case <-listening.seen:
	case err := <-ended:
		t.Fatalf("tcpdump: %v: %s", err, &listening)
	}

	for _, to := range []destination{v4, v6} {
		conn, err := net.Dial(to.network, to.addr)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range sizes[to] {
			payload := make([]byte, size)
			for i := range payload {
				payload[i] = byte(i + size)
			}
			if _, err := conn.Write(payload); err != nil {
				t.Fatalf("send %d bytes to %s: %v", size, to.addr, err)
			}
		}
		conn.Close()
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("tcpdump: %v: %s", err, &listening)
		}
	case <-time.After(patience):
		t.Fatalf("tcpdump has not seen %d packets: %s", packets, &listening)
	}
	if c := end(t, s); c.lost() > 0 {
		t.Fatalf("lost packets: %+v", c)
	}

	want := rawPackets(t, reference)
	var got [][]byte
	readCapture(t, file, func(_ gopacket.CaptureInfo, data []byte) {
		// The kernel's own packets (MLD) are not what is sent here.
		if data[0]>>4 == 4 || data[6] == unix.IPPROTO_UDP || data[6] == unix.IPPROTO_FRAGMENT {
			got = append(got, bytes.Clone(data))
		}
	})
	if len(got) != packets || len(want) != packets {
		t.Fatalf("%d packets sent, %d recorded, %d seen by tcpdump", packets, len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("packet %d is\n% x\nwant\n% x", i, got[i], want[i])
		}
	}
}

// rawPackets reads a little-endian pcap file.
func rawPackets(t testing.TB, file string) (packets [][]byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for b = b[24:]; len(b) > 0; {
		n := binary.LittleEndian.Uint32(b[8:])
		packets = append(packets, b[16:16+n])
		b = b[16+n:]
	}
	return packets
}

// TestTenAtOnce runs ten recorders in ten namespaces.
func TestTenAtOnce(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	start := make(chan struct{}) // all are recording before the first packet
	var ready sync.WaitGroup
	for i := range 10 {
		ready.Add(1)
		all.Go(func() {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				isReady := sync.OnceFunc(ready.Done)
				defer isReady()
				mustIsolate(t)
				began := time.Now()
				s, file := begin(t)
				isReady()
				<-start
				what := load.Config{Packets: 20_000, PayloadBytes: 200 + i, Segments: 16}
				sent := sendNumbered(t, what)
				c := endLossy(t, s)
				checkNumbered(t, file, what, c, began, time.Now())
				if c.recorded+c.lost() != sent {
					t.Errorf("sent %d packets, but %+v", sent, c)
				}
			})
		})
	}
	ready.Wait()
	close(start)
}
