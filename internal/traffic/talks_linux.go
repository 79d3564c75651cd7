package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// talk is one exchange between client and server. It returns when the last
// answer has arrived.
type talk func(*network) error

func (n *network) serverAddrs() []netip.Addr { return []netip.Addr{n.server.v4, n.server.v6} }

// deadline is set on every socket: nothing here waits for ever.
func (n *network) deadline() time.Time {
	t, _ := n.ctx.Deadline()
	return t
}

func (n *network) dialUDP(from *host, to netip.AddrPort) (conn *net.UDPConn, err error) {
	err = from.do(func() error {
		if conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)); err != nil {
			return err
		}
		return conn.SetDeadline(n.deadline())
	})
	return conn, err
}

// serveUDP answers datagrams at the server's address until stop is called.
func (n *network) serveUDP(at netip.AddrPort, answer func([]byte) []byte) (stop func(), err error) {
	var conn *net.UDPConn
	if err := n.server.do(func() error {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		question := make([]byte, 1<<16)
		for {
			size, from, err := conn.ReadFromUDPAddrPort(question)
			if err != nil {
				return
			}
			if _, err := conn.WriteToUDPAddrPort(answer(question[:size]), from); err != nil {
				return
			}
		}
	}()
	return func() { conn.Close(); <-ended }, nil
}

// ask sends every datagram to a server that answers, waiting for each answer.
func (n *network) ask(to netip.AddrPort, answer func([]byte) []byte, questions ...[]byte) error {
	stop, err := n.serveUDP(to, answer)
	if err != nil {
		return err
	}
	defer stop()
	conn, err := n.dialUDP(n.client, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	reply := make([]byte, 1<<16)
	for _, question := range questions {
		if _, err := conn.Write(question); err != nil {
			return err
		}
		if _, err := conn.Read(reply); err != nil {
			return fmt.Errorf("waiting for the answer of %v: %w", to, err)
		}
	}
	return nil
}

func same(b []byte) []byte { return b }

// dns asks for names that exist and one that does not.
func dns(n *network) error {
	var questions [][]byte
	for i, q := range []dnsmessage.Question{
		{Name: dnsmessage.MustNewName("www.example.com."), Type: dnsmessage.TypeA},
		{Name: dnsmessage.MustNewName("www.example.com."), Type: dnsmessage.TypeAAAA},
		{Name: dnsmessage.MustNewName("example.com."), Type: dnsmessage.TypeTXT},
		{Name: dnsmessage.MustNewName("nowhere.example.com."), Type: dnsmessage.TypeA},
	} {
		q.Class = dnsmessage.ClassINET
		m := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: uint16(0x1000 + i), RecursionDesired: true},
			Questions: []dnsmessage.Question{q},
		}
		b, err := m.Pack()
		if err != nil {
			return err
		}
		questions = append(questions, b)
	}
	for _, server := range n.serverAddrs() {
		if err := n.ask(netip.AddrPortFrom(server, 53), answerDNS, questions...); err != nil {
			return err
		}
	}
	return nil
}

func answerDNS(question []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.RecursionAvailable = true, true
	q := m.Questions[0]
	answer := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 3600}}
	switch {
	case strings.HasPrefix(q.Name.String(), "nowhere."):
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		answer.Body = &dnsmessage.AResource{A: netip.MustParseAddr("198.51.100.80").As4()}
	case q.Type == dnsmessage.TypeAAAA:
		answer.Body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::80").As16()}
	default:
		answer.Body = &dnsmessage.TXTResource{TXT: []string{"v=spf1 -all"}}
	}
	if answer.Body != nil {
		m.Answers = append(m.Answers, answer)
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// quicLike sends datagrams with the outer shape of QUIC (RFC 9000 §17) and
// noise where the encrypted part would be.
func quicLike(n *network) error {
	noise := rand.NewChaCha8([32]byte{'q'})
	datagram := func(first byte, size int) []byte {
		b := make([]byte, size)
		noise.Read(b)
		b[0] = first
		if first&0x80 != 0 { // long header: version 1, two connection IDs of 8 bytes
			copy(b[1:], []byte{0, 0, 0, 1, 8})
			b[14] = 8
			b[23] = 0 // no token
			b[24], b[25] = 0x40|byte((size-26)>>8), byte(size-26)
		}
		return b
	}
	for _, server := range n.serverAddrs() {
		err := n.ask(netip.AddrPortFrom(server, 443), same,
			datagram(0xc3, 1200), datagram(0xe3, 300), datagram(0x41, 80))
		if err != nil {
			return err
		}
	}
	return nil
}

// echo pings the server twice over IPv4 and twice over IPv6.
func echo(n *network) error {
	if err := n.ping("ip4:icmp", n.client.v4, n.server.v4, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply); err != nil {
		return err
	}
	return n.ping("ip6:ipv6-icmp", n.client.v6, n.server.v6, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply)
}

func (n *network) ping(protocol string, from, to netip.Addr, request, reply icmp.Type) error {
	var conn *icmp.PacketConn
	err := n.client.do(func() (err error) {
		conn, err = icmp.ListenPacket(protocol, from.String())
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(n.deadline()); err != nil {
		return err
	}
	for seq := 1; seq <= 2; seq++ {
		m := icmp.Message{Type: request, Body: &icmp.Echo{ID: 0x7475, Seq: seq, Data: make([]byte, 56)}}
		b, err := m.Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
			return err
		}
		if err := awaitReply(conn, reply); err != nil {
			return fmt.Errorf("pinging %v: %w", to, err)
		}
	}
	return nil
}

func awaitReply(conn *icmp.PacketConn, reply icmp.Type) error {
	protocol := 1 // ICMP; x/net/icmp wants the number
	if _, ok := reply.(ipv6.ICMPType); ok {
		protocol = 58
	}
	b := make([]byte, 1500)
	for {
		size, _, err := conn.ReadFrom(b)
		if err != nil {
			return err
		}
		if m, err := icmp.ParseMessage(protocol, b[:size]); err == nil && m.Type == reply {
			return nil
		}
	}
}

// unreachable sends to ports that nobody listens on.
func unreachable(n *network) error {
	for _, server := range n.serverAddrs() {
		conn, err := n.dialUDP(n.client, netip.AddrPortFrom(server, 33434))
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("anyone?")); err != nil {
			return err
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
			return fmt.Errorf("%v port 33434: got %v instead of port unreachable", server, err)
		}
	}
	return nil
}

// fragments exchanges datagrams of three MTUs and one byte.
func fragments(n *network) error {
	for _, server := range n.serverAddrs() {
		if err := n.ask(netip.AddrPortFrom(server, 7), same, make([]byte, 3*1500+1)); err != nil {
			return err
		}
	}
	return nil
}

// sizes sends the least and the most that an IP packet can be.
func sizes(n *network) error {
	if err := n.sendIP("ip4:253", n.server.v4); err != nil { // 253: for experiments, RFC 3692
		return err
	}
	if err := n.sendIP("ip6:253", n.server.v6); err != nil {
		return err
	}
	conn, err := n.dialUDP(n.client, netip.AddrPortFrom(n.server.v4, 9))
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, payloadBytes := range []int{0, 1, 65535 - 28} {
		if _, err := conn.Write(make([]byte, payloadBytes)); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			return err
		}
	}
	// No IP stack sends one byte. The device takes it from its owner all the
	// same, if it begins with an IP version.
	for _, version := range []byte{0x45, 0x60} {
		if _, err := n.client.dev.Write([]byte{version}); err != nil {
			return err
		}
	}
	return echo(n) // the answers to all before it have arrived when it returns
}

// sendIP sends one IP packet without a payload.
func (n *network) sendIP(network string, to netip.Addr) error {
	return n.client.do(func() error {
		conn, err := net.DialIP(network, nil, &net.IPAddr{IP: to.AsSlice()})
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(nil)
		return err
	})
}

// sayEnd sends the datagram that marks the end of a capture: from the server,
// so that it arrives after everything that the server sent.
func sayEnd(n *network) error {
	conn, err := n.dialUDP(n.server, netip.AddrPortFrom(n.client.v4, 9))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(endMark))
	return err
}
