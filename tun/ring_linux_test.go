package tun

import (
	"bytes"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func upRing(t testing.TB, ringBytes int) (*Device, *net.UDPConn) {
	t.Helper()
	return upDevice(t, Config{Ingest: IngestRing, RingBytes: ringBytes}, MaxPacket)
}

// Before Linux 5.11 each ring that a test makes by itself counts against this limit.
func init() { raiseMemlock() }

// forms are the newest kernel's, and those of older ones. An old kernel takes only
// the latter.
func forms(ringBytes int) map[string]form {
	parts := min(uint64(ringBytes)/2, segmentBytes)
	return map[string]form{
		"whole":                  {uint64(ringBytes), false},
		"segments":               {parts, false},
		"segments and the token": {parts, true},
	}
}

// onEachForm runs a test with a ring of each form that the kernel takes, the oldest in
// any case.
func onEachForm(t *testing.T, ringBytes int, test func(*testing.T, *Device, *net.UDPConn)) {
	for name, f := range forms(ringBytes) {
		t.Run(name, func(t *testing.T) {
			d, conn := upRing(t, ringBytes)
			err := reform(d, f)
			if errors.Is(err, errors.ErrUnsupported) && !f.token {
				t.Logf("not here: %v", err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			test(t, d, conn)
		})
	}
}

// reform gives a device that has got no packet yet a ring of that form.
func reform(d *Device, f form) error {
	old := d.rx.(*ring)
	r, err := makeRing(d.poll, d.Room(), f)
	if err != nil {
		return err
	}
	d.rx, d.lender, d.waiter, d.free = r, r, r, r.close
	d.drops.(*ringDrops).ring = r
	return old.close()
}

func TestIngestIsChosen(t *testing.T) {
	newNamespace(t)
	for kind, want := range map[IngestKind][2]string{
		IngestAuto: {"ring", "kernel and privileges allow it"},
		IngestRead: {"read", "asked for"},
		IngestRing: {"ring", "asked for"},
	} {
		d := openTest(t, Config{Ingest: kind})
		if got := [2]string{d.IngestName(), d.IngestReason()}; got != want {
			t.Errorf("%v: %q, not %q", kind, got, want)
		}
	}
}

func TestParseIngestKind(t *testing.T) {
	for _, kind := range []IngestKind{IngestAuto, IngestRead, IngestRing} {
		if got, err := ParseIngestKind(kind.String()); got != kind || err != nil {
			t.Errorf("%v: %v, %v", kind, got, err)
		}
	}
	for _, bad := range []string{"", "Ring", "IngestKind(3)"} {
		if _, err := ParseIngestKind(bad); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWithoutCapBPF(t *testing.T) {
	err := onDoomedThread(t, func() error {
		if err := setCapabilities(unix.CAP_NET_ADMIN); err != nil {
			return err
		}
		files, mappings := descriptors(t), ringMappings(t)
		if _, err := Open(Config{Ingest: IngestRing}); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "CAP_BPF") {
			t.Errorf("ring: error %v", err)
		}
		if now := descriptors(t); !slices.Equal(now, files) {
			t.Errorf("open files were %q, are %q", files, now)
		}
		if now := ringMappings(t); now != mappings {
			t.Errorf("%d mappings of BPF memory, before it %d", now, mappings)
		}
		d, err := Open(Config{})
		if err != nil {
			return err
		}
		if d.IngestName() != "read" || !strings.Contains(d.IngestReason(), "CAP_BPF") {
			t.Errorf("auto: %s because %s", d.IngestName(), d.IngestReason())
		}
		return d.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRingThatCannotBeAttached(t *testing.T) {
	needRoot(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	files, mappings := descriptors(t), ringMappings(t)
	if _, err := newRing(&poller{fd: int(r.Fd())}, MinRingBytes); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	if now := descriptors(t); !slices.Equal(now, files) {
		t.Errorf("open files were %q, are %q", files, now)
	}
	if now := ringMappings(t); now != mappings {
		t.Errorf("%d mappings of BPF memory, before it %d", now, mappings)
	}
}

func TestRingOverflowIsCounted(t *testing.T) {
	d, conn := upRing(t, MinRingBytes)
	dst := make([]byte, MaxPacket)
	offered, read := uint64(0), uint64(0)
	for _, size := range []int{1, 100, 1400, 9000, MaxPacket - udpHeaders} {
		record := (recordAround + udpHeaders + size + recordAlign - 1) &^ (recordAlign - 1)
		fits := uint64(MinRingBytes / record)
		for _, burst := range []uint64{fits, fits + 1, 3 * fits} {
			for range burst {
				send(t, conn, make([]byte, size))
			}
			offered += burst
			got := readAll(t, d, dst)
			d.rx.(*ring).publish() // as a Wait would do before it sleeps
			if got != fits {
				t.Errorf("of %d packets of %d bytes of payload the ring held %d, not %d", burst, size, got, fits)
			}
			read += got
			if drops := dropsOf(t, d); offered != read+drops {
				t.Errorf("offered %d, read %d, dropped %d", offered, read, drops)
			}
		}
	}
}

// packetSocket returns a socket that sends into the device what it is given,
// and gets what the device is to transmit.
func packetSocket(t *testing.T, d *Device) int {
	t.Helper()
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: linkOf(t, d).Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestHoldsPackets(t *testing.T) {
	d, _ := upRing(t, MinRingBytes)
	fd := packetSocket(t, d)
	const more = MinRingBytes/minRecord + 100
	for range more {
		if _, err := unix.Write(fd, []byte{0x45}); err != nil {
			t.Fatal(err)
		}
	}
	held := readAll(t, d, make([]byte, MaxPacket))
	if holds := uint64(d.HoldsPackets()); held != holds {
		t.Errorf("the ring held %d packets of 1 byte, HoldsPackets is %d", held, holds)
	}
	if drops := dropsOf(t, d); held+drops != more {
		t.Errorf("of %d packets the ring held %d and lost %d", more, held, drops)
	}
}

func TestRingCutsToDst(t *testing.T) {
	d, conn := upRing(t, 0)
	send(t, conn, pattern(100))
	dst := make([]byte, 60)
	n, origLen, _, err := d.Next(dst, nil)
	if n != 60 || origLen != udpHeaders+100 || err != nil || !bytes.Equal(dst[udpHeaders:], pattern(100)[:60-udpHeaders]) {
		t.Errorf("%d bytes of %d, %v", n, origLen, err)
	}
}

func TestRingWithoutPrivilege(t *testing.T) {
	d, conn := upRing(t, MinRingBytes)
	err := onDoomedThread(t, func() error {
		if err := dropCapabilities(); err != nil {
			return err
		}
		const sent = MinRingBytes/100 + 1 // more than the ring holds
		for range sent {
			send(t, conn, make([]byte, 100))
		}
		if err := d.Wait(-1); err != nil {
			return err
		}
		read := readAll(t, d, make([]byte, MaxPacket))
		if drops := dropsOf(t, d); read+drops != sent || drops == 0 {
			t.Errorf("sent %d, read %d, dropped %d", sent, read, drops)
		}
		return d.Wait(0)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a queueing discipline drops is counted, whoever has put it there.
func TestQdiscDropsAreCounted(t *testing.T) {
	for _, ingest := range []IngestKind{IngestRead, IngestRing} {
		t.Run(ingest.String(), func(t *testing.T) {
			d, conn := upDevice(t, Config{Ingest: ingest}, 1500)
			for i, kind := range []string{"blackhole", "pfifo", "blackhole"} {
				setRootQdisc(t, d, kind)
				send(t, conn, []byte("packet"))
				want := uint64(1 + i/2)
				if n, exact, err := d.Drops(); n != want || exact || err != nil {
					t.Errorf("%s: %d drops, not %d; exact %v, %v", kind, n, want, exact, err)
				}
			}
			if n := readAll(t, d, make([]byte, MaxPacket)); n != 1 {
				t.Errorf("%d packets, not 1", n)
			}
		})
	}
}

func setRootQdisc(t *testing.T, d *Device, kind string) {
	t.Helper()
	if err := netlink.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: linkOf(t, d).Attrs().Index, Parent: netlink.HANDLE_ROOT},
		QdiscType:  kind,
	}); err != nil {
		t.Fatalf("queueing discipline %s: %v", kind, err)
	}
}

func TestSettle(t *testing.T) {
	d, conn := upRing(t, 0)
	// A queueing discipline that lets through 1,000 bytes each 5 ms.
	if err := netlink.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: linkOf(t, d).Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
		Rate:       200_000, Buffer: 1 << 20, Limit: 1 << 20,
	}); err != nil {
		t.Fatalf("queueing discipline tbf: %v", err)
	}
	const packets = 50
	for range packets {
		send(t, conn, make([]byte, 1000-udpHeaders))
	}
	dst := make([]byte, MaxPacket)
	if err := d.Settle(0); err != nil {
		t.Fatal(err)
	}
	early := readAll(t, d, dst)
	if early == packets {
		t.Error("no packet had to wait, so this test shows nothing")
	}
	if err := d.Settle(time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := early + readAll(t, d, dst); n != packets {
		t.Errorf("%d packets, not %d", n, packets)
	}
}

// A sender is told of no error, though the device drops every packet.
func TestSendersGetNoError(t *testing.T) {
	_, conn := upRing(t, 0)
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1) // else UDP keeps quiet
	}); err != nil || set != nil {
		t.Fatal(err, set)
	}
	for range 10 {
		send(t, conn, []byte("packet"))
	}
}

func TestRingOfDeletedDeviceIsRead(t *testing.T) {
	d, conn := upRing(t, 0)
	send(t, conn, []byte("kept"))
	if err := netlink.LinkDel(linkOf(t, d)); err != nil {
		t.Fatal(err)
	}
	if err := d.Wait(-1); err != nil {
		t.Fatal(err)
	}
	if n := readAll(t, d, make([]byte, MaxPacket)); n != 1 {
		t.Errorf("%d packets, not 1", n)
	}
	if err := d.Wait(-1); !errors.Is(err, ErrDeleted) {
		t.Errorf("error %v", err)
	}
}

// A record wakes the reader once, from the time on that it has asked for, or
// when there is as much as it has asked for.
func TestWhatWakesTheReader(t *testing.T) { onEachForm(t, DefaultRingBytes, testWhatWakesTheReader) }

func testWhatWakesTheReader(t *testing.T, d *Device, conn *net.UDPConn) {
	const never = 1 << 62 // a time, and bytes
	r := d.rx.(*ring)
	wakes := func(from, bytes uint64) (n int) {
		t.Helper()
		readAll(t, d, make([]byte, MaxPacket))
		r.listen(from, bytes)
		for range 2 {
			before := atomic.LoadUintptr(position(r.bells))
			send(t, conn, make([]byte, 100-udpHeaders)) // the kernel runs the program meanwhile
			if atomic.LoadUintptr(position(r.bells)) != before {
				n++
			}
		}
		return n
	}
	if n := wakes(1, never); n != 1 {
		t.Errorf("woken %d times, not once, by what is stamped after 1970", n)
	}
	const record = 100 + recordAround
	for bytes, want := range map[uint64]int{1: 1, record: 1, 2 * record: 1, 2*record + 1: 0} {
		if n := wakes(never, bytes); n != want {
			t.Errorf("woken %d times, not %d, by %d bytes, of which %d were asked for", n, want, 2*record, bytes)
		}
	}
	if n := wakes(r.stamp+uint64(time.Hour), never); n != 0 {
		t.Errorf("woken %d times an hour too early", n)
	}
}

// A packet comes in whatever the reader is just doing: reading, about to sleep,
// asleep. It hangs where a wake-up gets lost. (A nap has a timer.)
func TestNoWakeUpIsLost(t *testing.T) { onEachForm(t, MinRingBytes, testNoWakeUpIsLost) }

func testNoWakeUpIsLost(t *testing.T, d *Device, conn *net.UDPConn) {
	const packets = 10_000
	got := make(chan struct{})
	go func() {
		for i := range packets {
			if i%200 == 0 {
				<-time.After(time.Millisecond) // mostly the reader is asleep then
			}
			if _, err := conn.Write([]byte("packet")); err != nil {
				t.Error(err)
			}
			<-got
		}
	}()
	dst := make([]byte, MaxPacket)
	for i := range packets {
		for range i % 200 * 1500 { // a little later each time
		}
		for readAll(t, d, dst) == 0 {
			d.rx.(*ring).busy = false // no nap
			if err := d.Wait(-1); err != nil {
				t.Fatal(err)
			}
		}
		got <- struct{}{}
	}
}

// After the last packet the reader sleeps until the next: it neither looks in
// between nor spins.
func TestIdleReaderSleeps(t *testing.T) {
	d, conn := upRing(t, 0)
	dst := make([]byte, MaxPacket)
	for !d.rx.(*ring).busy { // until it naps
		go conn.Write([]byte("packet"))
		if err := d.Wait(-1); err != nil {
			t.Fatal(err)
		}
		readAll(t, d, dst)
	}
	usage := func() (sleeps int64, cpu time.Duration) {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		return u.Nvcsw, time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	const idle = 25 * nap
	sleeps, cpu := usage()
	if err := d.Wait(idle); err != nil {
		t.Fatal(err)
	}
	sleepsAfter, cpuAfter := usage()
	if readAll(t, d, dst) != 0 {
		t.Fatal("a packet came, so this test shows nothing")
	}
	// A nap, a sleep, and what the Go runtime needs to get going again.
	if n := sleepsAfter - sleeps; n > 10 {
		t.Errorf("the thread was put to sleep %d times in one Wait", n)
	}
	if used := cpuAfter - cpu; used > idle/2 {
		t.Errorf("%v of CPU time to wait for %v", used, idle)
	}
}
