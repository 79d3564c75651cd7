package tun

import (
	"encoding/binary"
	"fmt"
)

// From struct if_msghdr2 and struct if_data64 of xnu's bsd/net/if.h and
// if_var.h, as NET_RT_IFLIST2 delivers them: byte offsets, in host order, which
// is little-endian on every Mac.
const (
	ifMsghdr2Len      = 160
	ifMsghdr2Index    = 12 // u16
	ifMsghdr2SndDrops = 24 // i32
	ifMsghdr2Oerrors  = 80 // u64

	routeMessageType = 3 // u8, behind the length and the version
	rtmIfinfo2       = 0x12
)

// parseDrops finds device index in a list of route messages and returns the sum
// of what its send queue dropped and of its output errors.
func parseDrops(list []byte, index int) (uint64, error) {
	le := binary.LittleEndian
	for len(list) > routeMessageType {
		size := int(le.Uint16(list))
		if size <= routeMessageType || size > len(list) {
			return 0, fmt.Errorf("route message of %d bytes in a list of %d", size, len(list))
		}
		m := list[:size]
		list = list[size:]
		if m[routeMessageType] == rtmIfinfo2 && size >= ifMsghdr2Len && int(le.Uint16(m[ifMsghdr2Index:])) == index {
			return uint64(le.Uint32(m[ifMsghdr2SndDrops:])) + le.Uint64(m[ifMsghdr2Oerrors:]), nil
		}
	}
	return 0, fmt.Errorf("no device with index %d", index)
}
