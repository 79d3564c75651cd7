package tun

import (
	"bytes"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// readAll reads what the device holds and returns how many packets that were.
func readAll(t testing.TB, in Ingest, dst []byte) (packets uint64) {
	t.Helper()
	for {
		n, _, _, err := in.Next(dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return packets
		}
		packets++
	}
}

func dropsOf(t testing.TB, d *Device) uint64 {
	t.Helper()
	n, exact, err := d.Drops()
	if err != nil || !exact {
		t.Fatalf("drops: %v, exact: %v", err, exact)
	}
	return n
}

func TestOverflowIsCounted(t *testing.T) {
	const queue = 100
	d, conn := upDevice(t, Config{Ingest: IngestRead, QueueLen: queue}, 1500)
	dst := make([]byte, MaxPacket)
	offered, read := uint64(0), uint64(0)
	for _, burst := range []uint64{queue - 1, queue, queue + 1, 1, 5 * queue} {
		for range burst {
			send(t, conn, []byte("burst"))
		}
		offered += burst
		got := readAll(t, d, dst)
		if got > queue {
			t.Errorf("the queue of %d held %d packets", queue, got)
		}
		read += got
		if drops := dropsOf(t, d); offered != read+drops {
			t.Errorf("offered %d, read %d, dropped %d", offered, read, drops)
		}
	}
	if offered == read {
		t.Error("nothing was dropped, so this test shows nothing")
	}
}

// Several senders at once are what fills a queueing discipline, where a read
// device would lose packets uncounted.
func TestFloodIsCounted(t *testing.T) {
	for qdisc, c := range map[string]Config{
		"noqueue": {Ingest: IngestRead, QueueLen: 500},
		"pfifo":   {Ingest: IngestRing, RingBytes: 1 << 20},
	} {
		t.Run(c.Ingest.String(), func(t *testing.T) { testFlood(t, c, qdisc) })
	}
}

func testFlood(t *testing.T, c Config, qdisc string) {
	d, _ := upDevice(t, c, 1500)
	dst := make([]byte, MaxPacket)
	flood(t, d, 1000, 100, func() uint64 { return readAll(t, d, dst) })
	dropsOf(t, d) // says that it is exact
	qdiscs, err := netlink.QdiscList(linkOf(t, d))
	if err != nil || len(qdiscs) != 1 || qdiscs[0].Type() != qdisc {
		t.Errorf("queueing disciplines %v, not %s; %v", qdiscs, qdisc, err)
	}
}

// flood has four senders hand segments packets over as one, sends times, each with
// a payload of size bytes of its own, while read is called to read and count what
// is there. Every packet has to be read or counted as dropped.
func flood(t *testing.T, d *Device, sends, size int, read func() uint64) {
	t.Helper()
	const senders = 4
	var sending sync.WaitGroup
	for i := range senders {
		conn := dialPeer(t)
		segmenting(t, conn, size)
		payload := bytes.Repeat([]byte{byte(i + 1)}, segments*size)
		sending.Go(func() {
			for range sends {
				if err := sendSegments(t, conn, payload, size); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	sent := make(chan struct{})
	go func() {
		sending.Wait()
		if err := d.Settle(time.Minute); err != nil {
			t.Error(err)
		}
		close(sent)
		d.Wake()
	}()
	packets := uint64(0)
	for done := false; !done; {
		if err := d.Wait(-1); err != nil {
			t.Fatal(err)
		}
		select {
		case <-sent:
			done = true
		default:
		}
		packets += read()
	}
	offered := uint64(senders * sends * segments)
	drops, _, err := d.Drops()
	if err != nil || offered != packets+drops {
		t.Errorf("offered %d, read %d, dropped %d, %v: %d are missing", offered, packets, drops, err, offered-packets-drops)
	}
}

// The recorder may change its namespace and its privileges after opening.
func TestDropsFromElsewhere(t *testing.T) {
	d, conn := upDevice(t, Config{Ingest: IngestRead, QueueLen: 1}, 1500)
	for range 3 {
		send(t, conn, []byte("flood"))
	}
	err := onDoomedThread(t, func() error {
		if err := dropCapabilities(); err != nil {
			return err
		}
		if n, _, err := d.Drops(); n != 2 || err != nil {
			t.Errorf("drops %d, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// onBoth runs a test of a device with both makes of Ingest.
func onBoth(t *testing.T, test func(t *testing.T, kind IngestKind)) {
	for _, kind := range []IngestKind{IngestRead, IngestRing} {
		t.Run(kind.String(), func(t *testing.T) { test(t, kind) })
	}
}

func TestDeletionUnderTheReader(t *testing.T) { onBoth(t, testDeletion) }

func testDeletion(t *testing.T, kind IngestKind) {
	d, _ := upDevice(t, Config{Ingest: kind}, 1500)
	waited := make(chan error)
	go func() { waited <- d.Wait(-1) }()
	if err := netlink.LinkDel(linkOf(t, d)); err != nil {
		t.Fatal(err)
	}
	waitErr := <-waited
	_, _, _, nextErr := d.Next(make([]byte, MaxPacket), nil)
	if n, exact, err := d.Drops(); n != 0 || exact || err != nil {
		t.Errorf("%d dropped, exact %t, %v", n, exact, err)
	}
	for what, err := range map[string]error{"Wait": waitErr, "a later Wait": d.Wait(-1), "Next": nextErr} {
		if err == nil || !strings.Contains(err.Error(), "device "+d.Name()) {
			t.Errorf("%s: error %v", what, err)
		}
		if !errors.Is(err, ErrDeleted) {
			t.Errorf("%s: error %v is not ErrDeleted", what, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// Signals (the runtime sends them to preempt) neither end a Wait nor prolong it.
func TestWaitThroughSignals(t *testing.T) { onBoth(t, testSignals) }

func testSignals(t *testing.T, kind IngestKind) {
	d, _ := upDevice(t, Config{Ingest: kind}, 1500)
	const timeout = 20 * time.Millisecond
	pid, reader := unix.Getpid(), unix.Gettid()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if err := unix.Tgkill(pid, reader, unix.SIGURG); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	start := time.Now()
	err := d.Wait(timeout) // hangs where each signal starts it anew
	if took := time.Since(start); err != nil || took < timeout {
		t.Errorf("Wait(%v) returned %v after %v", timeout, err, took)
	}
	close(stop)
	<-stopped
}

func TestDownIsNoError(t *testing.T) { onBoth(t, testDown) }

func testDown(t *testing.T, kind IngestKind) {
	d, conn := upDevice(t, Config{Ingest: kind}, 1500)
	send(t, conn, []byte("kept"))
	link := linkOf(t, d)
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	if n := readAll(t, d, make([]byte, MaxPacket)); n != 1 {
		t.Errorf("%d packets after the device went down, not 1", n)
	}
	if err := d.Wait(0); err != nil {
		t.Error(err)
	}
}

// A capture is to hold what was sent into the device, and nothing of what the kernel
// says by itself: with IPv6 addresses, even a link-local one, and on a router, too.
func TestKernelKeepsQuiet(t *testing.T) {
	t.Run("host", func(t *testing.T) { testQuiet(t, "0", 1) })
	t.Run("router", func(t *testing.T) { testQuiet(t, "1", 2) })
}

// testQuiet waits until the kernel has said so many things on another device.
func testQuiet(t *testing.T, forwarding string, things int) {
	newNamespace(t)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte(forwarding), 0); err != nil {
		t.Fatal(err)
	}
	quiet := openTest(t, Config{})
	bringUp(t, quiet, 1500)
	for _, addr := range []string{"fd00::1/64", "2001:db8::1/128", "fe80::1/64"} {
		ip(t, "addr add "+addr+" nodad dev "+quiet.Name())
	}
	ip(t, "tuntap add chatty mode tun") // one that is used as it is
	chatty := openTest(t, Config{Name: "chatty", Attach: true})
	if err := netlink.LinkSetUp(linkOf(t, chatty)); err != nil {
		t.Fatal(err)
	}
	// The kernel solicits routers on chatty, or reports that it is a router's. It came
	// up later: then quiet would have had its turn.
	dst := make([]byte, MaxPacket)
	for said := 0; said < things; {
		n, _, _, err := chatty.Next(dst, nil)
		if err == nil && n == 0 {
			err = chatty.Wait(-1)
		}
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			said++
		}
	}
	if n, _, _, err := quiet.Next(dst, nil); n != 0 || err != nil {
		t.Errorf("the quiet device has a packet: %x, %v", dst[:n], err)
	}
}

// segments is how many packets the benchmarks have the kernel make of one send
// (UDP_SEGMENT, udp(7)).
const segments = 60

// segmenting has the kernel make packets of size bytes of payload from what is sent.
func segmenting(t testing.TB, conn *net.UDPConn, size int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size)
	}); err != nil || set != nil {
		t.Fatal(err, set)
	}
}

// sendSegments sends one by one what the kernel would make packets of, where that
// wants a device that computes checksums, which ours is not (before Linux 6.11, EIO).
func sendSegments(t *testing.T, conn *net.UDPConn, payload []byte, size int) error {
	_, err := conn.Write(payload)
	if !errors.Is(err, unix.EIO) {
		return err
	}
	segmenting(t, conn, 0)
	defer segmenting(t, conn, size)
	for segment := range slices.Chunk(payload, size) {
		if _, err := conn.Write(segment); err != nil {
			return err
		}
	}
	return nil
}

func BenchmarkNext(b *testing.B) { benchmarkNext(b, IngestRead) }
func BenchmarkRing(b *testing.B) { benchmarkNext(b, IngestRing) }

func benchmarkNext(b *testing.B, kind IngestKind) {
	const size = 100
	d, conn := upDevice(b, Config{Ingest: kind}, 1500)
	segmenting(b, conn, size)
	payload := make([]byte, segments*size)
	dst := make([]byte, MaxPacket)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; {
		b.StopTimer()
		burst := 0
		for ; burst < min(left, DefaultQueueLen-segments); burst += segments {
			send(b, conn, payload)
		}
		b.StartTimer()
		for range min(burst, left) {
			if n, _, _, err := d.Next(dst, nil); n == 0 || err != nil {
				b.Fatal(n, err)
			}
		}
		left -= burst
		b.StopTimer()
		readAll(b, d, dst)
		b.StartTimer()
	}
}
