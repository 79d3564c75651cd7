package tun

import (
	"bytes"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A rig is one make of Ingest and a way to send packets into it.
type rig struct {
	in      Ingest
	send    func(payload []byte)
	header  int // bytes of a packet before the payload
	longest int // payload in bytes
}

const udpHeaders = 20 + 8

func tunRig(t *testing.T, kind IngestKind) rig {
	d, conn := upDevice(t, Config{Ingest: kind}, MaxPacket)
	return rig{d, func(b []byte) { send(t, conn, b) }, udpHeaders, MaxPacket - udpHeaders}
}

// pairRig stands in for utun: a datagram socket whose packets have an address
// family before them.
func pairRig(t *testing.T, rx func(fd int) receiver) rig {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]) })
	poll, err := newPoller(p[1])
	if err != nil {
		t.Fatal(err)
	}
	d := &Device{name: "utun9", rx: rx(p[1]), waiter: poll, poll: poll, drops: noDrops{}}
	t.Cleanup(func() { d.Close() })
	send := func(b []byte) {
		if _, err := unix.Write(p[0], append([]byte{0, 0, 0, unix.AF_INET}, b...)); err != nil {
			t.Fatal(err)
		}
	}
	return rig{d, send, 0, MaxPacket}
}

type noDrops struct{}

func (noDrops) count() (uint64, bool, error) { return 0, false, nil }
func (noDrops) inexact() string              { return "" }
func (noDrops) close()                       {}

// recvmmsg stands in for recvmsg_x.
type recvmmsg struct {
	fd      int
	iovecs  [batchPackets]unix.Iovec
	headers [batchPackets]struct {
		unix.Msghdr
		datalen uint32
	}
}

func newRecvmmsg(fd int) func(slots [][]byte) batchSource {
	return func(slots [][]byte) batchSource {
		r := &recvmmsg{fd: fd}
		for i, slot := range slots {
			r.iovecs[i].Base = unsafe.SliceData(slot)
			r.iovecs[i].SetLen(len(slot))
			r.headers[i].Iov, r.headers[i].Iovlen = &r.iovecs[i], 1
		}
		return r
	}
}

func (r *recvmmsg) recv(lens []int) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(r.fd),
		uintptr(unsafe.Pointer(&r.headers)), uintptr(len(r.headers)), unix.MSG_DONTWAIT, 0, 0)
	if errno == unix.EAGAIN {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	for i := range int(n) {
		lens[i] = int(r.headers[i].datalen)
	}
	return int(n), nil
}

var rigs = map[string]func(*testing.T) rig{
	"read":   func(t *testing.T) rig { return tunRig(t, IngestRead) },
	"ring":   func(t *testing.T) rig { return tunRig(t, IngestRing) },
	"family": func(t *testing.T) rig { return pairRig(t, func(fd int) receiver { return &family{fd: fd} }) },
	"batch":  func(t *testing.T) rig { return pairRig(t, func(fd int) receiver { return newBatch(newRecvmmsg(fd)) }) },
}

// onEachRig runs a test of the contract of Ingest on every make of it.
func onEachRig(t *testing.T, test func(t *testing.T, r rig)) {
	for name, make := range rigs {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

// next waits for a packet and returns its payload.
func (r rig) next(t *testing.T, dst []byte) (payload []byte, origLen int, at int64) {
	t.Helper()
	for {
		n, origLen, at, err := r.in.Next(dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return dst[r.header:n], origLen - r.header, at
		}
		if err := r.in.Wait(-1); err != nil {
			t.Fatal(err)
		}
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + n)
	}
	return b
}

func (r rig) smallest() int { return max(0, 1-r.header) } // a packet is not empty

// Of what keep rejects nothing is left but the length.
func TestKeep(t *testing.T) {
	onEachRig(t, func(t *testing.T, r rig) {
		dst := make([]byte, MaxPacket)
		for i := range 10 {
			sent := pattern(50 + i)
			r.send(sent)
			n, origLen := 0, 0
			for origLen == 0 {
				if err := r.in.Wait(-1); err != nil {
					t.Fatal(err)
				}
				var err error
				n, origLen, _, err = r.in.Next(dst, func(packet []byte, origLen int) bool {
					if !bytes.Equal(packet[r.header:], sent) || origLen != len(packet) {
						t.Errorf("keep is asked about %x of %d bytes", packet, origLen)
					}
					return i%2 == 0
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			want := r.header + len(sent)
			if origLen != want || n != 0 && (n != want || i%2 == 1) || n == 0 && i%2 == 0 {
				t.Errorf("packet %d: %d bytes of %d", i, n, origLen)
			}
		}
	})
}

func TestEverySizeArrives(t *testing.T) {
	onEachRig(t, func(t *testing.T, r rig) {
		dst := make([]byte, MaxPacket)
		check := func(size int) {
			t.Helper()
			sent := pattern(size)
			before := time.Now().UnixNano()
			r.send(sent)
			got, origLen, at := r.next(t, dst)
			if !bytes.Equal(got, sent) || origLen != size {
				t.Fatalf("payload of %d bytes came as %d, said to be %d", size, len(got), origLen)
			}
			if after := time.Now().UnixNano(); at < before || at > after {
				t.Fatalf("time %d is not between sending %d and now %d", at, before, after)
			}
		}
		for size := r.smallest(); size <= 1500; size++ {
			check(size)
		}
		for _, size := range []int{9000, 1<<15 - 1, 1 << 15, r.longest - 1, r.longest} {
			check(size)
		}
	})
}

func TestManyArriveInOrder(t *testing.T) {
	onEachRig(t, func(t *testing.T, r rig) {
		dst := make([]byte, MaxPacket)
		for from := 1; from < 1000; {
			// No more at a time than net.unix.max_dgram_qlen, 10 by default.
			for i := from; i < from+10; i++ {
				r.send(pattern(i))
			}
			last := int64(0)
			for range 10 {
				got, _, at := r.next(t, dst)
				if !bytes.Equal(got, pattern(from)) {
					t.Fatalf("packet %d came as %d bytes", from, len(got))
				}
				if at < last {
					t.Fatalf("packet %d has time %d, the one before %d", from, at, last)
				}
				last = at
				from++
			}
			if n, _, _, err := r.in.Next(dst, nil); n != 0 || err != nil {
				t.Fatalf("after the last packet: %d bytes, %v", n, err)
			}
		}
	})
}

func TestWaitTimesOut(t *testing.T) {
	onEachRig(t, func(t *testing.T, r rig) {
		for _, timeout := range []time.Duration{0, 1, time.Millisecond, 1500 * time.Microsecond} {
			start := time.Now()
			if err := r.in.Wait(timeout); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < timeout {
				t.Errorf("Wait(%v) returned after %v", timeout, took)
			}
		}
	})
}

func TestWake(t *testing.T) {
	onEachRig(t, func(t *testing.T, r rig) {
		for range 3 { // before the Wait, more than once: none is lost, one Wait takes all
			r.in.Wake()
		}
		if err := r.in.Wait(-1); err != nil {
			t.Fatal(err)
		}
		go r.in.Wake()
		if err := r.in.Wait(-1); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := r.in.Wait(time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) < time.Millisecond {
			t.Error("a Wake ended two Waits")
		}
	})
}

func TestWakesWhileReading(t *testing.T) {
	onEachRig(t, func(t *testing.T, r rig) {
		const wakes = 1000
		asked, seen := make(chan struct{}), make(chan struct{})
		go func() {
			for range wakes {
				r.in.Wake()
				asked <- struct{}{}
				<-seen
			}
			close(asked)
		}()
		for range asked {
			if err := r.in.Wait(-1); err != nil { // hangs where a Wake gets lost
				t.Fatal(err)
			}
			seen <- struct{}{}
		}
	})
}

func TestAfterClose(t *testing.T) {
	onEachRig(t, func(t *testing.T, r rig) {
		for range 2 {
			if err := r.in.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r.in.Wake()
		if _, _, err := r.in.Drops(); err == nil {
			t.Error("Drops of a closed device has no error")
		}
	})
}

func TestNextDoesNotAllocate(t *testing.T) {
	onEachRig(t, func(t *testing.T, r rig) {
		dst := make([]byte, MaxPacket)
		const packets = 8
		for range packets {
			r.send([]byte("x"))
		}
		got := 0
		// AllocsPerRun runs once more than it is told, to warm up.
		allocs := testing.AllocsPerRun(2*packets, func() {
			n, _, _, err := r.in.Next(dst, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				got++
			}
			if err := r.in.Wait(0); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 || got != packets {
			t.Errorf("%v allocations a packet; %d packets of %d", allocs, got, packets)
		}
	})
}

func TestBatchTellsCutPackets(t *testing.T) {
	r := rigs["batch"](t)
	r.send(pattern(100))
	dst := make([]byte, 60)
	got, origLen, _ := r.next(t, dst)
	if !bytes.Equal(got, pattern(100)[:60]) || origLen != 100 {
		t.Errorf("%d bytes of %d", len(got), origLen)
	}
}

func TestFamilyWithoutPacketIsSkipped(t *testing.T) {
	for _, name := range []string{"family", "batch"} {
		t.Run(name, func(t *testing.T) {
			r := rigs[name](t)
			r.send(nil)
			r.send([]byte("packet"))
			if got, _, _ := r.next(t, make([]byte, MaxPacket)); string(got) != "packet" {
				t.Errorf("got %q", got)
			}
		})
	}
}
