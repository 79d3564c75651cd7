package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Extension headers as setsockopt takes them (RFC 3542 §6): the kernel fills
// in the first byte, the type of the header after it.
var (
	// hopByHop: router alert (RFC 2711) and padding.
	hopByHop = []byte{0, 0, 5, 2, 0, 0, 1, 0}

	// destination: one PadN (RFC 8200 §4.2), 16 bytes in all.
	destination = []byte{0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
)

// segmentRouting is a type 4 routing header (RFC 8754 §2) by way of hop; the
// kernel puts the destination into the free first segment.
func segmentRouting(hop netip.Addr) []byte {
	return slices.Concat([]byte{0, 4, 4, 1, 1, 0, 0, 0}, make([]byte, 16), hop.AsSlice())
}

// extensions sends one datagram for each kind of header, and one with several
// that has to be fragmented.
func extensions(n *network) error {
	type headers map[int][]byte
	type packet struct {
		headers
		payloadBytes int
	}
	routing := segmentRouting(n.server.v6)
	for _, p := range []packet{
		{headers{unix.IPV6_HOPOPTS: hopByHop}, 32},
		{headers{unix.IPV6_DSTOPTS: destination}, 32},
		{headers{unix.IPV6_RTHDR: routing}, 32},
		{headers{unix.IPV6_HOPOPTS: hopByHop, unix.IPV6_DSTOPTS: destination}, 2000},
		{headers{unix.IPV6_HOPOPTS: hopByHop, unix.IPV6_RTHDRDSTOPTS: destination,
			unix.IPV6_RTHDR: routing, unix.IPV6_DSTOPTS: destination}, 32},
	} {
		if err := n.sendExtended(p.headers, make([]byte, p.payloadBytes)); err != nil {
			return err
		}
	}
	if err := n.sendIP("ip6:59", n.server.v6); err != nil { // no next header
		return err
	}
	return echo(n) // the answers to all before it have arrived when it returns
}

// sendExtended sends to an address behind the server, or to the server where
// no routing header leads there.
func (n *network) sendExtended(headers map[int][]byte, payload []byte) error {
	to := n.server.v6
	if headers[unix.IPV6_RTHDR] != nil {
		to = netip.MustParseAddr("2001:db8::99")
	}
	conn, err := n.dialUDP(n.client, netip.AddrPortFrom(to, 9))
	if err != nil {
		return err
	}
	defer conn.Close()
	for option, header := range headers {
		if err := setIPv6Option(conn, option, header); err != nil {
			return fmt.Errorf("setting IPv6 socket option %d: %w", option, err)
		}
	}
	_, err = conn.Write(payload)
	return err
}

func setIPv6Option(conn *net.UDPConn, option int, value []byte) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptString(int(fd), unix.IPPROTO_IPV6, option, string(value))
	}); err != nil {
		return err
	}
	return failed
}
