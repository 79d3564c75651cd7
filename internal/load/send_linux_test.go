package load

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// queuePackets exceeds what any test sends: a reader that is not scheduled for
// a while loses nothing.
const queuePackets = 1 << 17

// newTUN makes a TUN device in a network namespace of its own, which ends with
// the test's thread.
func newTUN(t *testing.T) *water.Interface {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a network namespace and a TUN device: run it as root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	ns.Close()
	dev, err := water.New(water.Config{DeviceType: water.TUN})
	if err != nil {
		t.Fatalf("making a TUN device: %v", err)
	}
	t.Cleanup(func() { dev.Close() })

	link, err := netlink.LinkByName(dev.Name())
	if err != nil {
		t.Fatal(err)
	}
	address := func(s string) *netlink.Addr {
		a, err := netlink.ParseAddr(s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	v6 := address("2001:db8::1/64")
	v6.Flags = 0x02 // IFA_F_NODAD: usable at once
	for _, err := range []error{
		netlink.LinkSetTxQLen(link, queuePackets),
		netlink.AddrAdd(link, address("192.0.2.1/24")),
		netlink.LinkSetUp(link),
		netlink.AddrAdd(link, v6),
	} {
		if err != nil {
			t.Fatalf("configuring %s: %v", dev.Name(), err)
		}
	}
	return dev
}

// readPayloads reads n payloads that Send made; the kernel's own packets are
// not counted. A device closed under it ends it early.
func readPayloads(dev *water.Interface, n int, each func(payload []byte)) error {
	buf := make([]byte, 65536)
	for n > 0 {
		size, err := dev.Read(buf)
		if err != nil {
			return err
		}
		headers := 20 + 8
		if buf[0]>>4 == 6 {
			headers = 40 + 8
		}
		if size < headers {
			continue
		}
		if _, _, ok := ParsePayload(buf[headers:size]); ok {
			each(buf[headers:size])
			n--
		}
	}
	return nil
}

func TestSendReachesDeviceInOrder(t *testing.T) {
	for name, c := range map[string]Config{
		"paced segments":  {Dst: addrPort("192.0.2.2:9"), Packets: 100_000, PayloadBytes: 100, PacketsPerSecond: 200_000, Segments: 16},
		"flood segments":  {Dst: addrPort("192.0.2.2:9"), Packets: 20_001, PayloadBytes: 1000, Segments: 64, Random: true},
		"flood plain":     {Dst: addrPort("192.0.2.2:9"), Packets: 10_000},
		"paced plain":     {Dst: addrPort("192.0.2.2:9"), Packets: 1_000, PayloadBytes: 1472, PacketsPerSecond: 10_000},
		"paced unevenly":  {Dst: addrPort("192.0.2.2:9"), Packets: 1_000, PacketsPerSecond: 10_000, Jitter: true},
		"IPv6 segments":   {Dst: addrPort("[2001:db8::2]:9"), Packets: 1_000, PayloadBytes: 1452, Segments: 45},
		"fewer than send": {Dst: addrPort("192.0.2.2:9"), Packets: 3, Segments: 64},
		"one":             {Dst: addrPort("192.0.2.2:9"), Packets: 1, Segments: 64},
	} {
		t.Run(name, func(t *testing.T) { checkDelivery(t, c) })
	}
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func checkDelivery(t *testing.T, c Config) {
	dev := newTUN(t)
	payloadBytes := max(c.PayloadBytes, HeaderBytes)
	type received struct {
		next, wrong uint64
		err         error
	}
	done := make(chan received, 1)
	go func() {
		var r received
		r.err = readPayloads(dev, int(c.Packets), func(payload []byte) {
			seq, ns, _ := ParsePayload(payload)
			if seq != r.next || ns < 1e18 || len(payload) != payloadBytes {
				r.wrong++
			}
			r.next = seq + 1
		})
		done <- r
	}()

	result, err := Send(context.Background(), c)
	if err != nil || result.Sent != c.Packets || result.NoBuffers != 0 {
		dev.Close() // ends the reader
		t.Fatalf("sent %+v, %v; want %d packets", result, err, c.Packets)
	}
	if result.Elapsed <= 0 || result.CPU < 0 {
		t.Errorf("elapsed %v, CPU %v", result.Elapsed, result.CPU)
	}
	t.Logf("%.0f packets/s, CPU %v of %v", float64(result.Sent)/result.Elapsed.Seconds(), result.CPU, result.Elapsed)

	select {
	case r := <-done:
		if r.err != nil || r.wrong != 0 || r.next != c.Packets {
			t.Errorf("received: next number %d of %d, %d out of place, error %v", r.next, c.Packets, r.wrong, r.err)
		}
	case <-time.After(30 * time.Second):
		dev.Close()
		r := <-done
		t.Errorf("packets are missing: next number %d of %d, %d out of place", r.next, c.Packets, r.wrong)
	}
}

func TestJitteredGaps(t *testing.T) {
	const n, gap = 100_000, time.Millisecond
	p := newPacer(Config{PacketsPerSecond: int(time.Second / gap), Segments: 1, Jitter: true})
	var sum, least, most time.Duration = 0, gap, gap
	for range n {
		g := p.pause()
		sum, least, most = sum+g, min(least, g), max(most, g)
	}
	if least < gap/2 || least > gap*51/100 || most > gap*3/2 || most < gap*149/100 {
		t.Errorf("gaps of %v to %v", least, most)
	}
	if mean := sum / n; mean < gap*99/100 || mean > gap*101/100 { // ten standard deviations
		t.Errorf("mean gap of %v, not %v", mean, gap)
	}
}

func TestFillCompressesOnlyWhenNotRandom(t *testing.T) {
	for _, random := range []bool{false, true} {
		b := newBatch(Config{PayloadBytes: 1000, Segments: 16, Random: random})
		var stream bytes.Buffer
		for number := uint64(0); number < 256; number += 128 {
			b.fill(number, 128)
			stream.Write(b.data)
		}
		size := stream.Len()
		var packed bytes.Buffer
		w, err := flate.NewWriter(&packed, flate.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(stream.Bytes()); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if shrunk := packed.Len() < size*9/10; shrunk == random {
			t.Errorf("random %v: %d bytes became %d", random, size, packed.Len())
		}
	}
}

func TestNoiseGoesOnPastItsEnd(t *testing.T) {
	b := newBatch(Config{PayloadBytes: 1000, Segments: 1, Random: true})
	b.noiseAt = noiseBytes - 10
	fill := make([]byte, 11)
	b.fillNoise(fill)
	if !bytes.Equal(fill, b.noise[:11]) || b.noiseAt != 11 {
		t.Errorf("fill %x, next at %d", fill, b.noiseAt)
	}
}

func TestSendEndsWithContext(t *testing.T) {
	newTUN(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, rate := range []int{0, 1} {
		r, err := Send(ctx, Config{Dst: addrPort("192.0.2.2:9"), Packets: 100, PacketsPerSecond: rate})
		if !errors.Is(err, context.Canceled) || r.Sent > 1 {
			t.Errorf("rate %d: %+v, %v", rate, r, err)
		}
	}
}

func TestSleepEndsWithContext(t *testing.T) {
	p := newPacer(Config{PacketsPerSecond: 1, Segments: 1})
	p.next = p.next.Add(time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := p.wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A port that nobody listens on answers with ICMP: the error belongs to an
// earlier packet and must not stop the load.
func TestSendOutlivesPortUnreachable(t *testing.T) {
	newTUN(t)
	c := Config{Dst: addrPort("192.0.2.1:9"), Packets: 1000} // own address: delivered by loopback
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	if r, err := Send(context.Background(), c); err != nil || r.Sent != c.Packets {
		t.Errorf("nobody listens: %+v, %v", r, err)
	}
}

func TestSendTellsWhyAndClosesItsSocket(t *testing.T) {
	newTUN(t)
	before := openFiles(t)
	_, err := Send(context.Background(), Config{Dst: addrPort("198.51.100.1:9"), Packets: 1})
	if want := "load: connecting to 198.51.100.1:9: network is unreachable"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
