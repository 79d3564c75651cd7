package tun

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Senders are at work while a device ends: every packet that they got rid of has
// been read, or is counted as dropped before the stop or as lost after it.
func TestShutAccountsForAll(t *testing.T) {
	onBoth(t, func(t *testing.T, kind IngestKind) {
		lost := uint64(0)
		for range 10 {
			t.Run("", func(t *testing.T) { lost += testShut(t, kind) })
		}
		if lost == 0 {
			t.Error("nothing came after a stop, so this test shows nothing")
		}
	})
}

func testShut(t *testing.T, kind IngestKind) (afterStop uint64) {
	d, _ := upDevice(t, Config{Ingest: kind, QueueLen: 500}, 1500)
	const senders = 3
	var sent atomic.Uint64
	var sending, busy sync.WaitGroup
	busy.Add(senders)
	for range senders {
		conn := dialPeer(t)
		sending.Go(func() {
			for i := 0; ; i++ {
				if i == 300 {
					busy.Done()
				}
				_, err := conn.Write([]byte("until it is gone"))
				switch {
				case err == nil, errors.Is(err, unix.ENETDOWN): // the device has counted that one, too
					sent.Add(1)
				case errors.Is(err, unix.ENETUNREACH):
					return
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	atWork := make(chan struct{})
	go func() { busy.Wait(); close(atWork); d.Wake() }()
	dst := make([]byte, MaxPacket)
	read := uint64(0)
	for done := false; !done; {
		if err := d.Wait(-1); err != nil {
			t.Fatal(err)
		}
		read += readAll(t, d, dst)
		select {
		case <-atWork:
			done = true
		default:
		}
	}
	if err := d.Settle(time.Second); err != nil {
		t.Fatal(err)
	}
	if !d.Shut(false) {
		t.Fatal("packets can still get in")
	}
	read += readAll(t, d, dst)
	if !d.Shut(true) {
		t.Fatal("the device is still there")
	}
	sending.Wait() // it ends because the route is gone
	drops := dropsOf(t, d)
	if got := read + drops + d.AfterStop(); got != sent.Load() {
		t.Errorf("sent %d, but %d read, %d dropped and %d after the stop are %d", sent.Load(), read, drops, d.AfterStop(), got)
	}
	return d.AfterStop()
}

// A device that was there before is not shut.
func TestShutOfAttached(t *testing.T) {
	newNamespace(t)
	ip(t, "tuntap add there mode tun")
	ip(t, "link set there addrgenmode none")
	d := openTest(t, Config{Name: "there", Attach: true})
	bringUp(t, d, 1500)
	conn := dialPeer(t)
	if d.Shut(false) || d.Shut(true) {
		t.Error("it was shut")
	}
	send(t, conn, []byte("goes on"))
	if n := readAll(t, d, make([]byte, MaxPacket)); n != 1 {
		t.Errorf("%d packets", n)
	}
}
