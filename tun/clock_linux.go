package tun

import (
	"time"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

const (
	// rereadEvery is how long after a change of the offset stamps can be wrong.
	rereadEvery = 10 * time.Millisecond
	// maxDisorder is by how much a stamp can be before the last one: what programs
	// read of a clock may go back a little where the kernel adjusts it
	// (ktime_get_mono_fast_ns in kernel/time/timekeeping.c). Nobody steps a clock by
	// so little.
	maxDisorder = 10 * time.Microsecond
)

// clock makes wall time of the stamps of a clock that eBPF programs can read.
type clock struct {
	stamp asm.BuiltinFunc // the helper that reads it
	id    int32           // of the same clock for clock_gettime(2)
	unit  int64           // it is ahead of the wall clock by a multiple of this, in nanoseconds

	ahead  int64 // of the wall clock
	readAt int64 // at this stamp
	last   int64 // the wall time that was given out last
}

// clocks are what may be read, best first.
//
// CLOCK_TAI (bpf_ktime_get_tai_ns, Linux 6.1) steps when the wall clock is
// stepped, and so tells when that was. It is ahead by the leap seconds that a
// time daemon has told the kernel of, 0 without one. CLOCK_BOOTTIME (Linux 5.8)
// knows no steps: they change by how much it is ahead.
var clocks = [...]clock{
	{stamp: asm.FnKtimeGetTaiNs, id: unix.CLOCK_TAI, unit: int64(time.Second)},
	{stamp: asm.FnKtimeGetBootNs, id: unix.CLOCK_BOOTTIME, unit: 1},
}

// wall returns the time of a stamp in nanoseconds since 1970-01-01 UTC.
func (c *clock) wall(stamp int64) int64 {
	// Unsigned, a stamp before the last reading is far past its end, too.
	if uint64(stamp-c.readAt) > uint64(rereadEvery) {
		c.read(now(c.id), now(unix.CLOCK_REALTIME), now(c.id))
		c.readAt = stamp
	}
	t := stamp - c.ahead
	if t < c.last && c.last-t < int64(maxDisorder) {
		return c.last
	}
	c.last = t
	return t
}

// read takes a reading of the wall clock between two of this clock. What it was
// ahead stays as long as it is possible: most of what looks like a change is
// the time that reading takes.
func (c *clock) read(before, wall, after int64) {
	if before-wall <= c.ahead && c.ahead <= after-wall {
		return
	}
	ahead := before + (after-before)/2 - wall
	c.ahead = (ahead + c.unit/2) / c.unit * c.unit
}

func now(id int32) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		panic(err) // cannot be: these clocks are always there
	}
	return t.Nano()
}
