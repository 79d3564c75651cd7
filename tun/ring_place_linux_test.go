package tun

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// takeNext returns the next block's packet, once there is one.
func takeNext(t *testing.T, d *Device) (block, packet []byte) {
	t.Helper()
	for {
		block, origLen, unixNano, err := d.Take()
		if err != nil {
			t.Fatal(err)
		}
		if block == nil {
			if err := d.Wait(-1); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want := Headroom + (origLen+3)&^3 + Tailroom; len(block) != want || unixNano == 0 {
			t.Fatalf("a block of %d bytes, not %d, for a packet of %d; time %d", len(block), want, origLen, unixNano)
		}
		return block, block[Headroom:][:origLen]
	}
}

// Packets of all sizes stand where the kernel has put them, block behind block,
// until they are given back: many times around the ring.
func TestTake(t *testing.T) { onEachForm(t, MinRingBytes, testTake) }

func testTake(t *testing.T, d *Device, conn *net.UDPConn) {
	var before []byte
	laps, whole := 0, d.rx.(*ring).lay.bytes == uint64(d.Room())
	type taken struct{ block, want []byte }
	var held []taken
	heldBytes := 0
	for i := range 2000 {
		want := pattern(1 + i*i%1400)
		if i%100 == 0 {
			want = pattern(MaxPacket - udpHeaders - i%4)
		}
		send(t, conn, want)
		block, packet := takeNext(t, d)
		switch goesOn := cap(before) > len(before); {
		case before == nil:
		case goesOn && &before[:len(before)+1][len(before)] != &block[0]:
			t.Fatalf("packet %d does not follow the one before", i)
		case !goesOn && uintptr(unsafe.Pointer(&block[0])) < uintptr(unsafe.Pointer(&before[0])):
			laps++
		case !goesOn && whole:
			t.Fatalf("packet %d follows the last one of a lap", i)
		}
		before = block
		if !bytes.Equal(packet[udpHeaders:], want) {
			t.Fatalf("packet %d of %d bytes is not what was sent", i, len(want))
		}
		// What is around a packet is the caller's, too.
		for j := range Headroom {
			block[j] = 0xdb
		}
		for j := Headroom + len(packet); j < len(block); j++ {
			block[j] = 0xdb
		}
		held = append(held, taken{block, want})
		for heldBytes += len(block); heldBytes > MinRingBytes-MaxPacket-100; held = held[1:] {
			oldest := held[0]
			if !bytes.Equal(oldest.block[Headroom+udpHeaders:][:len(oldest.want)], oldest.want) {
				t.Fatalf("a packet of %d bytes has been overwritten before it was given back", len(oldest.want))
			}
			heldBytes -= len(oldest.block)
			d.GiveBack(len(oldest.block))
		}
	}
	if drops := dropsOf(t, d); laps < 5 || drops != 0 {
		t.Errorf("%d laps, %d drops", laps, drops)
	}
}

// Memory that has not been given back is not used again: packets are dropped.
func TestTakenIsKept(t *testing.T) { onEachForm(t, MinRingBytes, testTakenIsKept) }

func testTakenIsKept(t *testing.T, d *Device, conn *net.UDPConn) {
	want := pattern(1000)
	const length = Headroom + udpHeaders + 1000 + Tailroom
	const fits = MinRingBytes / length
	for range fits + 10 {
		send(t, conn, want)
	}
	var blocks [][]byte
	for range fits {
		block, _ := takeNext(t, d)
		blocks = append(blocks, block)
	}
	if block, _, _, err := d.Take(); block != nil || err != nil {
		t.Fatalf("a packet more than the ring holds: %v", err)
	}
	for range 10 {
		send(t, conn, pattern(999))
	}
	for i, b := range blocks {
		if !bytes.Equal(b[Headroom+udpHeaders:][:1000], want) {
			t.Fatalf("packet %d has been overwritten", i)
		}
	}
	if drops := dropsOf(t, d); drops != 20 {
		t.Errorf("%d drops, not 20", drops)
	}
	d.GiveBack(length)
	send(t, conn, want) // has exactly the room of the first
	if _, packet := takeNext(t, d); !bytes.Equal(packet[udpHeaders:], want) {
		t.Error("the packet after is not what was sent")
	}
}

// Senders on several CPUs at once, with no queueing discipline to keep them
// apart, neither mix their packets up nor lose one uncounted.
func TestSendersAtOnce(t *testing.T) { onEachForm(t, 1<<20, testSendersAtOnce) }

func testSendersAtOnce(t *testing.T, d *Device, _ *net.UDPConn) {
	const size = 1000
	setRootQdisc(t, d, "noqueue")
	last := int64(0)
	flood(t, d, 500, size, func() (read uint64) {
		for {
			block, origLen, unixNano, err := d.Take()
			if err != nil {
				t.Fatal(err)
			}
			if block == nil {
				return read
			}
			payload := block[Headroom:][udpHeaders:origLen]
			if n := bytes.Count(payload, payload[:1]); n != size {
				t.Fatalf("%d of %d bytes are one sender's", n, size)
			}
			if unixNano < last {
				t.Fatalf("a packet is %d ns before the last one", last-unixNano)
			}
			last = unixNano
			read++
			d.GiveBack(len(block))
		}
	})
}

// CAP_PERFMON is not needed, without which the verifier is stricter.
func TestRingWithCapBPFAlone(t *testing.T) {
	newNamespace(t)
	err := onDoomedThread(t, func() error {
		if err := setCapabilities(unix.CAP_NET_ADMIN, unix.CAP_BPF); err != nil {
			return err
		}
		for _, size := range []int{MinRingBytes, DefaultRingBytes, MaxRingBytes} {
			d, err := Open(Config{Ingest: IngestRing, RingBytes: size})
			if err != nil {
				t.Errorf("ring of %d bytes: %v", size, err)
				continue
			}
			for name, f := range forms(size) {
				err := reform(d, f)
				if errors.Is(err, errors.ErrUnsupported) && !f.token {
					t.Logf("not here: ring of %d bytes, %s: %v", size, name, err)
				} else if err != nil {
					t.Errorf("ring of %d bytes, %s: %v", size, name, err)
				}
			}
			if err := d.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
