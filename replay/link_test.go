package replay

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestCutToIP(t *testing.T) {
	v4, v6 := ipv4(30), ipv6(50)
	padding := make([]byte, 16)
	without := func(p []byte, at int) []byte { // the length field at `at` set to 0
		p = bytes.Clone(p)
		binary.BigEndian.PutUint16(p[at:], 0)
		return p
	}
	tooLittle := without(v4, 2)
	tooLittle[3] = 19
	jumbo := without(v6, 4)
	offload := without(v4, 2)

	tests := []struct {
		name     string
		linkType uint16
		data     []byte
		missing  int // bytes of the frame that were not captured
		want     []byte
		origLen  int
		why      SkipReason
	}{
		{"raw", linkRaw, v4, 0, v4, 30, SkipReason{}},
		{"raw with bytes behind is left alone", linkRaw, concat(v4, padding), 0, concat(v4, padding), 46, SkipReason{}},
		{"null with bytes behind is left alone", linkNull, concat([]byte{2, 0, 0, 0}, v4, padding), 5, concat(v4, padding), 51, SkipReason{}},
		{"raw of one byte", linkRaw, []byte{0x45}, 0, []byte{0x45}, 1, SkipReason{}},
		{"empty", linkRaw, nil, 0, nil, 0, SkipReason{Kind: SkipEmpty}},
		{"empty and cut", linkRaw, nil, 100, nil, 0, SkipReason{Kind: SkipEmpty}},
		{"version 5", linkRaw, []byte{0x55, 0}, 0, nil, 0, SkipReason{SkipVersion, 5}},
		{"unsupported link type", 127, v4, 0, nil, 0, SkipReason{SkipLinkType, 127}},

		{"padded IPv4", linkEthernet, ethernet(0x0800, nil, concat(v4, padding)), 0, v4, 30, SkipReason{}},
		{"padded IPv6", linkEthernet, ethernet(0x86dd, nil, concat(v6, padding)), 4, v6, 50, SkipReason{}},
		{"padded behind tags", linkEthernet, ethernet(0x0800, []uint16{0x8100, 0x8100}, concat(v4, padding)), 0, v4, 30, SkipReason{}},
		{"padded in SLL", linkSLL, sll(0x0800, concat(v4, padding)), 0, v4, 30, SkipReason{}},
		{"padded in SLL2", linkSLL2, sll2(0x0800, concat(v4, padding)), 0, v4, 30, SkipReason{}},
		{"cut by snaplen", linkEthernet, ethernet(0x0800, nil, v4[:25]), 5, v4[:25], 30, SkipReason{}},
		{"cut by snaplen in the padding", linkEthernet, ethernet(0x0800, nil, concat(v4, padding[:3])), 13, v4, 30, SkipReason{}},
		{"cut by snaplen before the IPv4 length", linkEthernet, ethernet(0x0800, nil, v4[:3]), 43, v4[:3], 46, SkipReason{}},
		{"cut by snaplen before the IPv6 length", linkEthernet, ethernet(0x86dd, nil, v6[:5]), 45, v6[:5], 50, SkipReason{}},
		{"longer by its header than the frame", linkEthernet, ethernet(0x0800, nil, ipv4(100)[:60]), 0, ipv4(100)[:60], 60, SkipReason{}},
		{"IPv4 length 0 of segmentation offload", linkEthernet, ethernet(0x0800, nil, concat(offload, padding)), 0, concat(offload, padding), 46, SkipReason{}},
		{"IPv6 length 0 of a jumbogram", linkEthernet, ethernet(0x86dd, nil, concat(jumbo, padding)), 0, concat(jumbo, padding), 66, SkipReason{}},
		{"IPv4 length shorter than a header", linkEthernet, ethernet(0x0800, nil, tooLittle), 0, tooLittle, 30, SkipReason{}},
		{"IPv6 in a frame of IPv4", linkEthernet, ethernet(0x0800, nil, v6), 0, v6, 50, SkipReason{}},

		{"ARP", linkEthernet, ethernet(0x0806, nil, padding), 0, nil, 0, SkipReason{SkipEtherType, 0x0806}},
		{"ARP behind a tag", linkEthernet, ethernet(0x0806, []uint16{0x8100}, padding), 0, nil, 0, SkipReason{SkipEtherType, 0x0806}},
		{"PPPoE", linkEthernet, ethernet(0x8864, nil, padding), 0, nil, 0, SkipReason{SkipEtherType, 0x8864}},
		{"spanning tree", linkEthernet, ethernet(38, nil, padding), 0, nil, 0, SkipReason{Kind: SkipLLC}},
		{"the last length", linkEthernet, ethernet(0x05ff, nil, padding), 0, nil, 0, SkipReason{Kind: SkipLLC}},
		{"the first type", linkEthernet, ethernet(0x0600, nil, padding), 0, nil, 0, SkipReason{SkipEtherType, 0x0600}},
		{"Ethernet of 13 bytes", linkEthernet, ethernet(0x0800, nil, nil)[:13], 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"Ethernet header only", linkEthernet, ethernet(0x0800, nil, nil), 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"Ethernet and half a tag", linkEthernet, ethernet(0x8100, nil, []byte{0, 7, 8}), 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"tags to the end", linkEthernet, ethernet(0x8100, []uint16{0x8100, 0x88a8, 0x9100}, nil), 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"SLL of 15 bytes", linkSLL, sll(0x0800, nil)[:15], 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"SLL header only", linkSLL, sll(0x0800, nil), 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"SLL of 802.2", linkSLL, sll(4, padding), 0, nil, 0, SkipReason{Kind: SkipLLC}},
		{"SLL2 of 19 bytes", linkSLL2, sll2(0x0800, nil)[:19], 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"SLL2 of LLDP", linkSLL2, sll2(0x88cc, padding), 0, nil, 0, SkipReason{SkipEtherType, 0x88cc}},
		{"NULL of 3 bytes", linkNull, []byte{2, 0, 0}, 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"NULL header only", linkNull, []byte{2, 0, 0, 0}, 50, nil, 0, SkipReason{Kind: SkipShort}},
		{"NULL of AppleTalk", linkNull, concat([]byte{16, 0, 0, 0}, padding), 0, nil, 0, SkipReason{SkipFamily, 16}},
		{"LOOP of no family", linkLoop, concat([]byte{1, 2, 3, 4}, padding), 0, nil, 0, SkipReason{SkipFamily, 0xffff}},
	}
	for _, tt := range tests {
		got, origLen, why := cutToIP(&frame{linkType: tt.linkType, data: tt.data, origLen: len(tt.data) + tt.missing})
		if !bytes.Equal(got, tt.want) || origLen != tt.origLen || why != tt.why {
			t.Errorf("%s: got %d of %d bytes, %+v, want %d of %d bytes, %+v",
				tt.name, len(got), origLen, why, len(tt.want), tt.origLen, tt.why)
		}
	}
}

func TestFamilies(t *testing.T) {
	for _, linkType := range []uint16{linkNull, linkLoop} {
		for _, family := range []uint32{2, 10, 23, 24, 28, 30} {
			for name, order := range endians {
				data := append(order.AppendUint32(nil, family), ipv6(50)...)
				if got, _, why := cutToIP(&frame{linkType: linkType, data: data, origLen: len(data)}); !bytes.Equal(got, ipv6(50)) {
					t.Errorf("link type %d, family %d, %s-endian: %+v", linkType, family, name, why)
				}
			}
		}
	}
}

func TestSkipped(t *testing.T) {
	w := &builder{endian: binary.LittleEndian}
	w.section()
	w.iface(linkEthernet, 6)
	w.iface(127, 6)
	frame := func(data []byte) { w.enhanced(0, 1, data, len(data)) }
	frame(ethernet(0x0806, nil, make([]byte, 46)))
	frame(ethernet(0x0800, nil, ipv4(46)))
	w.enhanced(1, 1, make([]byte, 60), 60)
	frame(ethernet(0x0806, nil, make([]byte, 46)))
	got, r := readFile(t, w.b)
	if len(got) != 1 {
		t.Errorf("%d packets, want 1", len(got))
	}
	if want := "3 frames skipped: 2 ARP, 1 unsupported link type 127 (IEEE802_11_RADIO)"; r.Skipped().String() != want {
		t.Errorf("got %q\nwant %q", r.Skipped(), want)
	}

	for want, s := range map[string]Skipped{
		"":                         {},
		"1 frame skipped: 1 empty": {{Kind: SkipEmpty}: 1},
		"2 frames skipped: 2 MPLS": {{SkipEtherType, 0x8847}: 2},
		"4 frames skipped: 2 empty, 1 EtherType 0x88b5, 1 EtherType 0x88b6": {{SkipEtherType, 0x88b6}: 1, {SkipEtherType, 0x88b5}: 1, {Kind: SkipEmpty}: 2},
		"5 frames skipped: 1 too short for an IP packet, 1 unsupported link type 250, 1 IEEE 802.2/802.3, 1 address family 16, 1 IP version 0": {
			{Kind: SkipShort}: 1, {SkipLinkType, 250}: 1, {Kind: SkipLLC}: 1, {SkipFamily, 16}: 1, {SkipVersion, 0}: 1},
	} {
		if s.String() != want {
			t.Errorf("got %q\nwant %q", s, want)
		}
	}
}
