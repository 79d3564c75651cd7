package tun

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestClockReadings(t *testing.T) {
	const s = int64(time.Second)
	tai, boottime := clocks[0], clocks[1]
	for _, step := range []struct {
		c                   *clock
		before, wall, after int64
		want                int64
	}{
		{&tai, 1000 * s, 1000*s + 50, 1000*s + 100, 0}, // no time daemon
		{&tai, 1037 * s, 1000*s + 50, 1037*s + 100, 37 * s},
		{&tai, 1138 * s, 1100*s + 10, 1138*s + 90, 38 * s},  // a leap second later
		{&tai, 1238 * s, 1200*s + 90, 1238*s + s/3, 38 * s}, // slow reading
		{&boottime, 10 * s, 1000*s + 50, 10*s + 100, -990 * s},
		{&boottime, 11 * s, 1001*s + 90, 11*s + 100, -990 * s}, // possible, so it stays
		{&boottime, 12 * s, 1002*s + 900, 12*s + 100, -990*s - 850},
	} {
		step.c.read(step.before, step.wall, step.after)
		if step.c.ahead != step.want {
			t.Errorf("%v: ahead by %d ns, not %d", step, step.c.ahead, step.want)
		}
	}
}

func TestClockOrder(t *testing.T) {
	ms, us := int64(time.Millisecond), int64(time.Microsecond)
	start := time.Now().UnixNano()
	c := clock{id: unix.CLOCK_REALTIME, unit: int64(time.Second)} // ahead by 0
	for _, step := range []struct{ stamp, want int64 }{
		{start, start},
		{start + 5*us, start + 5*us},
		{start + 4*us, start + 5*us}, // of a packet that overtook another: not a step
		{start + 6*us, start + 6*us},
		{start + 50*ms, start + 50*ms},
		{start + 30*ms, start + 30*ms},             // a clock step is recorded as it is
		{start + 30*ms - 1, start + 30*ms},         // 1 ns
		{start - 3600_000*ms, start - 3600_000*ms}, // an hour
		{start + 3600_000*ms, start + 3600_000*ms},
	} {
		if got := c.wall(step.stamp); got != step.want {
			t.Errorf("stamp %+d ns: %+d ns, not %+d", step.stamp-start, got-start, step.want-start)
		}
	}
}

// The device gets a packet after packet sockets do, and before the sender goes on.
func TestRingTimesAreTheKernels(t *testing.T) {
	d, conn := upRing(t, 0)
	r := d.rx.(*ring)
	fd := packetSocket(t, d)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, MaxPacket)
	stamped := func() (before, socket, ring, after int64) {
		before = time.Now().UnixNano()
		send(t, conn, []byte("packet"))
		after = time.Now().UnixNano()
		_, _, ring, err := d.Next(dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		return before, socketTime(t, fd), ring, after
	}
	// Until the kernel has got around to stamping packets, recvmsg(2) does it.
	for _, socket, _, after := stamped(); socket > after; {
		_, socket, _, after = stamped()
	}
	for i, c := range clocks {
		err := attachProgram(d.poll.fd, r.program(c))
		if newer := i == 0; newer && errors.Is(err, errors.ErrUnsupported) {
			t.Logf("not here: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r.clock = c
		// Two ways to read one clock differ by what they round. How far ahead
		// CLOCK_BOOTTIME is cannot be known better than the reading takes.
		tolerance := []int64{10, int64(time.Millisecond)}[i]
		for range 100 {
			before, socket, ring, after := stamped()
			if before > socket || ring < socket-tolerance || ring > after+tolerance {
				t.Fatalf("%v: sent from 0 to %d, packet socket %d, ring %d", c.stamp, after-before, socket-before, ring-before)
			}
		}
	}
}

// socketTime returns the SO_TIMESTAMPNS of the next packet of a socket.
func socketTime(t *testing.T, fd int) int64 {
	t.Helper()
	control := make([]byte, unix.CmsgSpace(16))
	if _, _, _, _, err := unix.Recvmsg(fd, make([]byte, MaxPacket), control, 0); err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	data := messages[0].Data
	return int64(binary.NativeEndian.Uint64(data))*int64(time.Second) + int64(binary.NativeEndian.Uint64(data[8:]))
}
