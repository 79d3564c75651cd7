package torture

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Packets for recordings from a file, as load makes them.

func peerAddr() netip.Addr { return netip.MustParseAddr(peer) }

func itoa(n int) string { return strconv.Itoa(n) }

// packet is IPv4 and UDP around a number, as load.ParsePayload reads it.
func packet(port uint16, number uint64) []byte {
	const payload = 64
	b := make([]byte, 28+payload)
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], []byte{10, 9, 0, 1})
	copy(b[16:], []byte{10, 9, 0, 2})
	binary.BigEndian.PutUint16(b[20:], port)
	binary.BigEndian.PutUint16(b[22:], port)
	binary.BigEndian.PutUint16(b[24:], 8+payload)
	binary.BigEndian.PutUint32(b[28:], 0x74756e21)
	binary.BigEndian.PutUint64(b[32:], number)
	return b
}

// pcapHeader is the header of a pcap file of LINKTYPE_RAW with nanoseconds.
func pcapHeader() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 65535)
	return binary.LittleEndian.AppendUint32(b, 101)
}

func appendPcap(b []byte, at time.Time, packet []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Nanosecond()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	return append(b, packet...)
}
