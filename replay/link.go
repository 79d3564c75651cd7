package replay

import "encoding/binary"

// Link types that hold IP packets (https://www.tcpdump.org/linktypes.html).
const (
	linkNull     = 0
	linkEthernet = 1
	linkRaw12    = 12 // DLT_RAW as some systems number it, found in files
	linkRaw14    = 14 // the same on OpenBSD
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

// EtherTypes that are looked into.
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86DD
	etherVLAN = 0x8100 // IEEE 802.1Q
	etherQinQ = 0x88A8 // IEEE 802.1ad
	etherQ9   = 0x9100 // what came before it

	// Below is a length in an Ethernet frame (IEEE 802.3 §3.2.6), and the mark
	// of 802.2 or 802.3 frames in a cooked one.
	etherTypeMin = 0x0600
)

// cutToIP returns the IP packet in a frame and the length that it had on the
// wire, or why there is none.
func cutToIP(f *frame) (packet []byte, origLen int, why SkipReason) {
	if len(f.data) == 0 {
		return nil, 0, SkipReason{Kind: SkipEmpty}
	}
	var start int
	trailer := false // can there be bytes behind the IP packet?
	switch f.linkType {
	case linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
	case linkNull, linkLoop:
		start, why = afterFamily(f.data)
	case linkEthernet:
		start, why = afterEtherType(f.data, 12, 14)
		trailer = true
	case linkSLL:
		start, why = afterEtherType(f.data, 14, 16)
		trailer = true
	case linkSLL2:
		start, why = afterEtherType(f.data, 0, 20)
		trailer = true
	default:
		why = SkipReason{SkipLinkType, f.linkType}
	}
	if why.Kind != notSkipped {
		return nil, 0, why
	}
	packet, origLen = f.data[start:], f.origLen-start
	if len(packet) == 0 {
		return nil, 0, SkipReason{Kind: SkipShort}
	}
	if version := packet[0] >> 4; version != 4 && version != 6 {
		return nil, 0, SkipReason{SkipVersion, uint16(version)}
	}
	if trailer {
		if n := totalLength(packet); n > 0 {
			packet, origLen = packet[:min(n, len(packet))], min(n, origLen)
		}
	}
	return packet, origLen, SkipReason{}
}

// afterEtherType returns where the IP packet begins in a frame with its
// EtherType at typeAt and a header of headerLen bytes. VLAN tags, any number
// of them, stand behind the header; each ends with the next EtherType.
func afterEtherType(data []byte, typeAt, headerLen int) (int, SkipReason) {
	for len(data) >= headerLen {
		switch t := binary.BigEndian.Uint16(data[typeAt:]); {
		case t == etherIPv4 || t == etherIPv6:
			return headerLen, SkipReason{}
		case t == etherVLAN || t == etherQinQ || t == etherQ9:
			typeAt, headerLen = headerLen+2, headerLen+4
		case t < etherTypeMin:
			return 0, SkipReason{Kind: SkipLLC}
		default:
			return 0, SkipReason{SkipEtherType, t}
		}
	}
	return 0, SkipReason{Kind: SkipShort}
}

// afterFamily returns where the IP packet begins behind an address family of
// 4 bytes. In LINKTYPE_NULL that is in the byte order of the machine which
// wrote it, so either has to be taken; families are small numbers.
func afterFamily(data []byte) (int, SkipReason) {
	if len(data) < 4 {
		return 0, SkipReason{Kind: SkipShort}
	}
	family := binary.BigEndian.Uint32(data)
	if family > 0xffff {
		family = binary.LittleEndian.Uint32(data)
	}
	switch family {
	case 2, // AF_INET, everywhere
		24, 28, 30, // AF_INET6: NetBSD and OpenBSD, FreeBSD, macOS
		10, 23: // Linux, Windows
		return 4, SkipReason{}
	}
	return 0, SkipReason{SkipFamily, uint16(min(family, 0xffff))}
}

// totalLength returns the length of a packet by its IP header, or 0 if that
// does not tell: it is cut off, 0 for a jumbogram (RFC 2675) or segmentation
// offload, or shorter than the header itself.
func totalLength(packet []byte) int {
	const ipv4HeaderLen, ipv6HeaderLen = 20, 40
	switch packet[0] >> 4 {
	case 4:
		if len(packet) >= 4 {
			if n := int(binary.BigEndian.Uint16(packet[2:])); n >= ipv4HeaderLen {
				return n
			}
		}
	case 6:
		if len(packet) >= 6 {
			if n := int(binary.BigEndian.Uint16(packet[4:])); n > 0 {
				return ipv6HeaderLen + n
			}
		}
	}
	return 0
}
