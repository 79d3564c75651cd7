package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/songgao/water"
)

var (
	linkNull     = linkType{0, "NULL"}
	linkEthernet = linkType{1, "ETHERNET"}
	linkRaw      = linkType{101, "RAW"}
	linkLoop     = linkType{108, "LOOP"}
	linkSLL      = linkType{113, "LINUX_SLL"}
	linkIPv4     = linkType{228, "IPV4"}
	linkIPv6     = linkType{229, "IPV6"}
	linkSLL2     = linkType{276, "LINUX_SLL2"}
)

// capture is one file to make: talks between two hosts, over TUN devices or,
// for Ethernet, TAP devices.
type capture struct {
	file    string
	link    linkType
	device  water.DeviceType // 0: TUN
	mtu     int              // 0: 1500
	tcpdump []string
	talks   []talk
	rewrap  func([]byte) []byte // nil: keep as it is; a nil result drops the packet
	origin  string
}

// onTUN leaves the kernel's multicast listener reports out. A filter drops a
// packet too short for it, hence the words for those of one byte.
var (
	onTUN = []string{"-i", "tun0", "-y", "RAW", "less 1 or not ip6 multicast"}
	onTAP = []string{"-i", "tap0", "-y", "EN10MB"}
)

var captures = []capture{
	{file: "dns.pcap", link: linkRaw, tcpdump: onTUN, talks: []talk{dns},
		origin: "DNS over UDP, IPv4 and IPv6: A, AAAA, TXT and a name that does not exist"},
	{file: "http.pcap", link: linkRaw, tcpdump: onTUN, talks: []talk{plainHTTP},
		origin: "HTTP/1.1 over IPv4: a GET and a POST in one connection, from SYN to the last ACK"},
	{file: "tls.pcapng", link: linkRaw, tcpdump: onTUN, talks: []talk{overTLS},
		origin: "HTTPS over IPv6: a TLS 1.3 and a TLS 1.2 connection, certificate made for the occasion"},
	{file: "quic-like.pcap", link: linkRaw, tcpdump: onTUN, talks: []talk{quicLike},
		origin: "UDP port 443 with QUIC version 1 long headers and short headers; not QUIC, the payload is noise"},
	{file: "icmp.ns.pcap", link: linkRaw, tcpdump: onTUN, talks: []talk{echo, unreachable},
		origin: "ICMP and ICMPv6: echo and port unreachable; timestamps in nanoseconds"},
	{file: "ipv6-extensions.pcap", link: linkRaw, tcpdump: onTUN, talks: []talk{extensions},
		origin: "IPv6 with hop-by-hop, destination options, segment routing and fragment headers, several at once, and with no next header"},
	{file: "fragments.pcap", link: linkRaw, tcpdump: onTUN, talks: []talk{fragments},
		origin: "UDP datagrams of 4,501 bytes in IPv4 and IPv6 fragments, both ways"},
	{file: "sizes.pcap", link: linkRaw, mtu: 65535, tcpdump: onTUN, talks: []talk{sizes},
		origin: "packets without payload, UDP with 0 and 1 bytes, an IPv4 packet of 65,535 bytes, and two of 1 byte (synthetic: written into the device)"},
	{file: "snaplen.pcap", link: linkRaw, tcpdump: append([]string{"-s", "64"}, onTUN...), talks: []talk{dns, plainHTTP},
		origin: "DNS and HTTP cut to 64 bytes a packet; the original lengths are kept"},
	{file: "ethernet.pcap", link: linkEthernet, device: water.TAP, tcpdump: onTAP, talks: []talk{dns, echo},
		origin: "DNS, ping, ARP and neighbour discovery over TAP devices"},
	{file: "vlan.pcap", link: linkEthernet, device: water.TAP, tcpdump: onTAP, talks: []talk{dns, echo}, rewrap: tag,
		origin: "the same with synthetic tags: IPv4 in VLAN 100, IPv6 in 802.1ad VLAN 200 and 802.1Q VLAN 201, ARP untagged"},
	{file: "sll.pcap", link: linkSLL, device: water.TAP, tcpdump: []string{"-i", "any", "-y", "LINUX_SLL"}, talks: []talk{dns, echo},
		origin: "the same by `tcpdump -i any -y LINUX_SLL`"},
	{file: "sll2.pcap", link: linkSLL2, device: water.TAP, tcpdump: []string{"-i", "any", "-y", "LINUX_SLL2"}, talks: []talk{dns, echo},
		origin: "the same by `tcpdump -i any -y LINUX_SLL2`"},
	{file: "null.pcap", link: linkNull, tcpdump: onTUN, talks: []talk{dns, echo}, rewrap: null,
		origin: "DNS and ping, each packet with a synthetic header as macOS writes it: AF_INET 2, AF_INET6 30, little-endian"},
	{file: "loop.pcap", link: linkLoop, tcpdump: onTUN, talks: []talk{dns, echo}, rewrap: loop,
		origin: "DNS and ping, each packet with a synthetic header as OpenBSD writes it: AF_INET 2, AF_INET6 24, big-endian"},
	{file: "ipv4.pcap", link: linkIPv4, tcpdump: onTUN, talks: []talk{dns, echo}, rewrap: only(4),
		origin: "DNS and ping, the IPv4 packets of a RAW capture, stored as link type 228"},
	{file: "ipv6.pcap", link: linkIPv6, tcpdump: onTUN, talks: []talk{dns, echo}, rewrap: only(6),
		origin: "DNS and ping, the IPv6 packets of a RAW capture, stored as link type 229"},
}

func isIPv6(ip []byte) bool { return ip[0]>>4 == 6 }

func null(ip []byte) []byte {
	family := uint32(2)
	if isIPv6(ip) {
		family = 30
	}
	return append(binary.LittleEndian.AppendUint32(nil, family), ip...)
}

func loop(ip []byte) []byte {
	family := uint32(2)
	if isIPv6(ip) {
		family = 24
	}
	return append(binary.BigEndian.AppendUint32(nil, family), ip...)
}

// tag puts IEEE 802.1Q tags behind the two MAC addresses.
func tag(frame []byte) []byte {
	const macs = 12
	var tags []byte
	switch binary.BigEndian.Uint16(frame[macs:]) {
	case 0x0800: // IPv4
		tags = []byte{0x81, 0x00, 0, 100}
	case 0x86dd: // IPv6
		tags = []byte{0x88, 0xa8, 0, 200, 0x81, 0x00, 0, 201}
	}
	return slices.Concat(frame[:macs], tags, frame[macs:])
}

func only(version byte) func([]byte) []byte {
	return func(ip []byte) []byte {
		if ip[0]>>4 != version {
			return nil
		}
		return ip
	}
}

// readmeHead stands above the table that generate writes and the test checks.
const readmeHead = `# Captures for tests

Made by the project's own generator from traffic between two network namespaces
of one Linux machine, and licensed like the project (Apache-2.0):

    sudo go run ./internal/traffic -o testdata/pcaps

The generator writes this file too. Nothing in the captures comes from a network
that exists: all addresses, names and MAC addresses are those set aside for
documentation (RFC 5737, RFC 3849, RFC 2606, RFC 9542). What is synthetic, not
sent by a kernel, is called so below.

| file | link type | packets | origin |
|---|---|---|---|
`

// generate takes every capture, and the README that lists them.
func generate(ctx context.Context, dir string) error {
	readme := strings.Builder{}
	readme.WriteString(readmeHead)
	for _, c := range captures {
		packets, err := c.take(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
		if err := store(filepath.Join(dir, c.file), c.link, packets); err != nil {
			return err
		}
		fmt.Fprintf(&readme, "| %s | %v | %d | %s |\n", c.file, c.link, len(packets), c.origin)
	}
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(readme.String()), 0o644)
}

func (c *capture) take(ctx context.Context) ([]packet, error) {
	name := "tun0"
	if c.device == water.TAP {
		name = "tap0"
	}
	n, err := newNetwork(ctx, cmp.Or(c.device, water.TUN), name, cmp.Or(c.mtu, 1500))
	if err != nil {
		return nil, err
	}
	defer n.close()
	packets, err := record(n, c.tcpdump, c.talks)
	if err != nil || c.rewrap == nil {
		return packets, err
	}
	var rewrapped []packet
	for _, p := range packets {
		if data := c.rewrap(p.data); data != nil {
			p.length += len(data) - len(p.data)
			p.data = data
			rewrapped = append(rewrapped, p)
		}
	}
	return rewrapped, nil
}
