package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// SkipKind is a kind of reason for which a frame holds no IP packet.
type SkipKind uint8

const (
	notSkipped    SkipKind = iota
	SkipEmpty              // no byte was captured
	SkipShort              // what was captured ends before the IP packet begins
	SkipLinkType           // Value is a LINKTYPE_ that is not supported
	SkipEtherType          // Value is an EtherType that is not IP
	SkipLLC                // an Ethernet frame with a length in place of a type
	SkipFamily             // Value is an address family that is not IP
	SkipVersion            // Value is an IP version that is neither 4 nor 6
)

// SkipReason is why a frame was skipped.
type SkipReason struct {
	Kind  SkipKind
	Value uint16 // as the kind says, else 0
}

var etherTypeNames = map[uint16]string{
	0x0806: "ARP",
	0x8035: "RARP",
	0x8847: "MPLS",
	0x8848: "MPLS multicast",
	0x8863: "PPPoE discovery",
	0x8864: "PPPoE session",
	0x888E: "EAPOL",
	0x88CC: "LLDP",
	0x88E5: "MACsec",
	0x88F7: "PTP",
	0x9000: "loopback test",
}

// linkTypeNames are the names that tcpdump prints (DLT_).
var linkTypeNames = map[uint16]string{
	9:   "PPP",
	50:  "PPP_SERIAL",
	51:  "PPP_ETHER",
	105: "IEEE802_11",
	117: "PFLOG",
	127: "IEEE802_11_RADIO",
	187: "BLUETOOTH_HCI_H4",
	189: "USB_LINUX",
	192: "PPI",
	201: "BLUETOOTH_HCI_H4_WITH_PHDR",
	220: "USB_LINUX_MMAPPED",
	227: "CAN_SOCKETCAN",
	239: "NFLOG",
	249: "USBPCAP",
	253: "NETLINK",
}

// String returns the reason as it stands behind a count.
func (r SkipReason) String() string {
	switch r.Kind {
	case SkipEmpty:
		return "empty"
	case SkipShort:
		return "too short for an IP packet"
	case SkipLinkType:
		text := fmt.Sprintf("unsupported link type %d", r.Value)
		if name := linkTypeNames[r.Value]; name != "" {
			text += " (" + name + ")"
		}
		return text
	case SkipEtherType:
		if name := etherTypeNames[r.Value]; name != "" {
			return name
		}
		return fmt.Sprintf("EtherType 0x%04x", r.Value)
	case SkipLLC:
		return "IEEE 802.2/802.3"
	case SkipFamily:
		return fmt.Sprintf("address family %d", r.Value)
	case SkipVersion:
		return fmt.Sprintf("IP version %d", r.Value)
	}
	return "not skipped"
}

// Skipped is the number of frames skipped for each reason.
type Skipped map[SkipReason]uint64

// Total returns the number of all frames skipped.
func (s Skipped) Total() uint64 {
	var total uint64
	for _, n := range s {
		total += n
	}
	return total
}

// String returns for example "3 frames skipped: 2 ARP, 1 EtherType 0x88b5",
// the most frequent reason first, or "" where nothing was skipped.
func (s Skipped) String() string {
	total := s.Total()
	if total == 0 {
		return ""
	}
	reasons := make([]SkipReason, 0, len(s))
	for r := range s {
		reasons = append(reasons, r)
	}
	slices.SortFunc(reasons, func(a, b SkipReason) int {
		return cmp.Or(cmp.Compare(s[b], s[a]), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	parts := make([]string, len(reasons))
	for i, r := range reasons {
		parts[i] = fmt.Sprintf("%d %s", s[r], r)
	}
	frames := "frames"
	if total == 1 {
		frames = "frame"
	}
	return fmt.Sprintf("%d %s skipped: %s", total, frames, strings.Join(parts, ", "))
}
