package tun

import "time"

// Ingest hands over packets one at a time, into memory that the caller owns.
//
// One goroutine, best locked to its thread, calls Next and Wait. Wake and Drops
// may be called from any goroutine, also after Close. Close may be called once
// that one goroutine has made its last call.
type Ingest interface {
	// Next puts the next packet at the start of dst and returns its length
	// there, its length on the wire (origLen > n where dst was too short for
	// it) and its time, in nanoseconds of the wall clock since 1970-01-01 UTC,
	// taken by the kernel or right after the read that brought it.
	//
	// A packet that keep returns false for is thrown away: n == 0, origLen > 0.
	// keep is called where the packet lies first, in dst or in memory shared
	// with the kernel, and must neither change nor hold it; nil keeps all.
	//
	// n == 0 == origLen without an error means that nothing is there now: call Wait.
	// io.EOF means that the source has ended; after any other error the source
	// is broken, and the next call will fail too.
	//
	// Next never blocks and never allocates, and keeps no hold of dst. Give it
	// at least MaxPacket bytes: some systems cut a longer packet without saying.
	Next(dst []byte, keep func(packet []byte, origLen int) bool) (n, origLen int, unixNano int64, err error)

	// Wait blocks until Next may have something, until the timeout has passed
	// (negative: no timeout) or until Wake is called; it may return early
	// without a reason. A Wake while nobody waits ends the next Wait.
	Wait(timeout time.Duration) error

	// Wake ends the present Wait or else the next one.
	Wake()

	// Drops returns how many packets the system has lost since the Ingest was
	// made, before Next could see them. Where exact is false, that is a lower
	// bound. It asks the kernel: call it now and then, not for every packet.
	Drops() (n uint64, exact bool, err error)

	// Close releases everything. Packets not yet read are lost.
	Close() error
}

// Room that an InPlace leaves around every packet: that of an Enhanced Packet
// Block without options (draft-ietf-opsawg-pcapng §4.3).
const (
	Headroom = 28 // before the packet
	Tailroom = 4  // behind it, after 0 to 3 bytes of padding up to a multiple of 4
)

// InPlace is an Ingest whose packets can stay where the kernel has put them,
// until they have been used. Who calls Take does not call Next.
type InPlace interface {
	Ingest

	// Room returns how many bytes of memory there are for blocks.
	Room() int

	// Take is Next without a copy, of all packets. The packet stands in a block
	// that is the caller's from now on:
	//
	//	| Headroom | origLen bytes of packet | padding to 4 bytes | Tailroom |
	//
	// The next block follows without a gap, and block[:cap(block)] reaches over
	// it; but where cap(block) == len(block), the next one is somewhere else.
	// block == nil without an error means that nothing is there now.
	Take() (block []byte, origLen int, unixNano int64, err error)

	// GiveBack gives the memory of the oldest blocks that were taken, n bytes of
	// them in all, back to the kernel. It may be called from another goroutine
	// than Take, and never blocks. Where all memory is out, packets are dropped
	// and counted. With Close all memory is gone.
	GiveBack(n int)
}
