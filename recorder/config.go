package recorder

import (
	"fmt"
	"runtime"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/tun"
)

// Limits and defaults of Config.
const (
	MinSlabBytes = 64 << 10
	MaxSlabBytes = 8 << 20
	MinSlabs     = 4
	MaxSlabs     = 4096
	DefaultFlush = time.Second
	MaxSnaplen   = 262144 // libpcap's MAXIMUM_SNAPLEN
	MaxWorkers   = 64
)

// DefaultSlabs returns how many slabs there are, and their size in bytes. Each costs
// a write to the disk and a few wake-ups, so they are larger where nothing has to be
// decompressed to read one.
func DefaultSlabs(f capfile.Form) (slabs, slabBytes int) {
	if f == capfile.Zstd {
		return 32, 1 << 20
	}
	return 16, 2 << 20
}

// maxPacket is the longest packet that a source delivers: of a raw IP link,
// 65,535 bytes, or what a capture file may hold.
const maxPacket = MaxSnaplen

// Source delivers packets. Its contract is tun.Ingest's; a file is one, too.
type Source = tun.Ingest

// Config tells a Recorder what to do. Zero values stand for what is documented
// at the field.
type Config struct {
	Source Source // required
	Sink   Sink   // required

	Form        capfile.Form   // the sink's
	Method      capfile.Method // of compressing, without pressure; Stored: see Form
	WindowBytes int            // the sink's; 0: capfile.WindowBytes(SlabBytes)

	SlabBytes     int           // MinSlabBytes to MaxSlabBytes; 0: see DefaultSlabs
	Slabs         int           // MinSlabs to MaxSlabs; 0: see DefaultSlabs
	Workers       int           // compressing goroutines; 0: one a processor
	FlushInterval time.Duration // a packet is readable in the file after this at the latest; 0: DefaultFlush; <0: at once

	Snaplen int    // bytes kept of a packet, 1 to MaxSnaplen; 0: all
	Count   uint64 // stop after that many recorded packets; 0: no limit

	// FilePackets is how many packets a file of a series has: slabs are sealed
	// there, so that the sink need not cut them in two. 0: as it comes.
	FilePackets uint64

	// Filter tells whether a packet is to be recorded; nil: every one. It is
	// what Source.Next calls keep.
	Filter func(packet []byte, origLen int) bool

	// Patient: the source waits for its reader without losing anything (a
	// file), so the recorder waits for a free slab instead of dropping.
	Patient bool
	// Buffered: the source keeps packets, with their times, until they are read,
	// and counts those that it has no room for (a ring). Where no slab is free
	// they wait there. If it is a tun.InPlace, too, and packets are wanted whole
	// and all, slabs have no memory of their own: they are made of its.
	Buffered bool
	// DrainMax is how many packets are read after a stop at the most: those
	// that the device can hold. 0 ends at once.
	DrainMax int
	// Settle is called when a stop is asked for, before the last packets are
	// read; nil: they are there to be read at any time. tun.Device has it.
	Settle func(limit time.Duration) error
	// Shut is called by the reader at its end, so that no packet gets into the source
	// that nobody reads: with false before the last packets are read, and where it
	// returns true those are all that is there, however many; with true behind
	// them. nil: nothing has to be shut. tun.Device has it.
	Shut func(read bool) (closed bool)
}

// SlabMemory returns the most bytes that the slabs, where they have memory of
// their own, and the buffers that compressed chunks wait in take.
func (c Config) SlabMemory() int {
	c = c.withDefaults()
	buffer := slabCap(c.SlabBytes)
	total := 0
	if c.lender() == nil {
		total = c.Slabs * buffer
	}
	if c.Form == capfile.Zstd {
		total += (c.Workers + spareBuffers) * capfile.EncodedCap(buffer)
	}
	return total
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	slabs, slabBytes := DefaultSlabs(c.Form)
	def(&c.Slabs, slabs)
	def(&c.SlabBytes, slabBytes)
	def(&c.Workers, min(runtime.GOMAXPROCS(0), MaxWorkers))
	def(&c.WindowBytes, capfile.WindowBytes(c.SlabBytes))
	def(&c.Snaplen, MaxSnaplen)
	if c.FlushInterval == 0 {
		c.FlushInterval = DefaultFlush
	}
	return c
}

// validate checks a Config with its defaults filled in.
func (c Config) validate() error {
	within := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s of %d: has to be %d to %d", name, v, low, high)
		}
		return nil
	}
	for _, f := range []struct {
		name         string
		v, low, high int
	}{
		{"slab size", c.SlabBytes, MinSlabBytes, MaxSlabBytes},
		{"number of slabs", c.Slabs, MinSlabs, MaxSlabs},
		{"number of workers", c.Workers, 1, MaxWorkers},
		{"snaplen", c.Snaplen, 1, MaxSnaplen},
		{"packets to drain", c.DrainMax, 0, 1 << 30},
	} {
		if err := within(f.name, f.v, f.low, f.high); err != nil {
			return err
		}
	}
	if c.Source == nil || c.Sink == nil {
		return fmt.Errorf("a recorder needs a source and a sink")
	}
	return nil
}

// slabCap is the memory of a slab that is sealed when it holds slabBytes: there is
// room for one longest packet more.
func slabCap(slabBytes int) int {
	return slabBytes + maxPacket + pcapng.PacketOverhead
}

// lender is the source, where packets stay in its memory until they have been
// written: where none is left out or cut, so that its blocks make a chunk as they
// are.
func (c Config) lender() tun.InPlace {
	source, ok := c.Source.(tun.InPlace)
	if !ok || !c.Buffered || c.Filter != nil || c.Snaplen < tun.MaxPacket {
		return nil
	}
	return source
}

// A block of a tun.InPlace has the room that an Enhanced Packet Block needs.
var (
	_ [pcapng.PacketHeaderLen - tun.Headroom]struct{}
	_ [tun.Headroom - pcapng.PacketHeaderLen]struct{}
)
