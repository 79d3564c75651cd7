// Package pcapng encodes and scans pcapng blocks (draft-ietf-opsawg-pcapng).
//
// The encoder writes into memory that the caller owns: an Enhanced Packet
// Block is finished around packet bytes that already stand where they belong,
// so that nothing is copied or allocated per packet. All blocks that this
// package writes are little-endian.
//
// A way through the files: pcapng.go (constants), packet.go (Enhanced Packet
// Block in place), section.go (section header and interface description),
// statistics.go (Interface Statistics Block), scan*.go (reading).
package pcapng

// Block types (draft-ietf-opsawg-pcapng §4 and Appendix A).
const (
	BlockInterfaceDescription uint32 = 0x00000001
	BlockPacket               uint32 = 0x00000002 // obsolete
	BlockSimplePacket         uint32 = 0x00000003
	BlockNameResolution       uint32 = 0x00000004
	BlockInterfaceStatistics  uint32 = 0x00000005
	BlockEnhancedPacket       uint32 = 0x00000006
	BlockSectionHeader        uint32 = 0x0A0D0D0A
)

// ByteOrderMagic stands in the Section Header Block, in the section's byte order.
const ByteOrderMagic uint32 = 0x1A2B3C4D

// LinkTypeRaw is LINKTYPE_RAW: a packet begins with its IPv4 or IPv6 header.
const LinkTypeRaw uint16 = 101
