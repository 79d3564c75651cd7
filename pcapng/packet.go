package pcapng

import "encoding/binary"

// Layout of an Enhanced Packet Block (draft-ietf-opsawg-pcapng §4.3), as this
// package writes it: interface 0, no options.
//
//	 0  u32  block type 6
//	 4  u32  block total length
//	 8  u32  interface ID 0
//	12  u32  time stamp, high 32 bits of nanoseconds since 1970-01-01 00:00 UTC
//	16  u32  time stamp, low 32 bits
//	20  u32  captured packet length
//	24  u32  original packet length
//	28  …    packet bytes, then 0 to 3 zero bytes up to a multiple of 4
//	 …  u32  block total length
const (
	// PacketHeaderLen is how many bytes of the block stand before the packet.
	PacketHeaderLen = 28
	// PacketOverhead is the most that a block is longer than its packet:
	// header, padding and trailing length.
	PacketOverhead = PacketHeaderLen + 3 + 4
)

// PutPacket makes block an Enhanced Packet Block around the capLen packet
// bytes that already stand at block[PacketHeaderLen:], and returns the block's
// length. The packet had origLen bytes on the wire and came at unixNano,
// nanoseconds since 1970-01-01 00:00 UTC.
//
// block must have room for capLen+PacketOverhead bytes.
func PutPacket(block []byte, capLen, origLen int, unixNano int64) int {
	total := PacketHeaderLen + (capLen+3)&^3 + 4
	b := block[:total]
	le := binary.LittleEndian
	clear(b[PacketHeaderLen+capLen : total-4]) // padding
	le.PutUint64(b[0:], uint64(BlockEnhancedPacket)|uint64(total)<<32)
	le.PutUint64(b[8:], uint64(unixNano)&^0xffffffff) // interface 0, then the high half
	le.PutUint64(b[16:], uint64(uint32(unixNano))|uint64(uint32(capLen))<<32)
	le.PutUint32(b[24:], uint32(origLen))
	le.PutUint32(b[total-4:], uint32(total))
	return total
}

// PacketBlock is what PutPacket was told.
type PacketBlock struct {
	CapLen, OrigLen int
	UnixNano        int64
}

// ParsePacket reads the block at the start of b that PutPacket made, and
// returns its length. It reads no other blocks: not ok.
func ParsePacket(b []byte) (p PacketBlock, total int, ok bool) {
	le := binary.LittleEndian
	if len(b) < PacketHeaderLen+4 || le.Uint32(b) != BlockEnhancedPacket {
		return p, 0, false
	}
	total = int(le.Uint32(b[4:]))
	p.CapLen = int(le.Uint32(b[20:]))
	if total > len(b) || total != PacketHeaderLen+(p.CapLen+3)&^3+4 {
		return p, 0, false
	}
	p.UnixNano = int64(uint64(le.Uint32(b[12:]))<<32 | uint64(le.Uint32(b[16:])))
	p.OrigLen = int(le.Uint32(b[24:]))
	return p, total, true
}
