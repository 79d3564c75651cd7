package filter

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
)

// randomExpression makes an expression, mostly one that makes sense.
func randomExpression(r *rand.Rand) string {
	e := (&writer{r}).expression(r.IntN(4))
	words := strings.Fields(e)
	if !chance(r, 12) || len(words) == 0 {
		return e
	}
	for range 1 + r.IntN(2) {
		i, j := r.IntN(len(words)), r.IntN(len(words))
		switch r.IntN(4) {
		case 0:
			words[i], words[j] = words[j], words[i]
		case 1:
			words = append(words[:i:i], words[min(i+1, len(words)-1):]...)
		case 2:
			words[i] = words[j]
		default:
			words[i] = pick(r, []string{"(", ")", "and", "not", "host", "port", "tcp", "80", "10.1", "::1", "src", "mask", "/", "[", "proto", "vlan", "http", "ip", "=", "len"})
		}
	}
	return strings.Join(words, " ")
}

type writer struct{ *rand.Rand }

func (w *writer) of(choices ...string) string { return pick(w.Rand, choices) }

func (w *writer) expression(depth int) string {
	if depth == 0 {
		return w.primitive()
	}
	switch w.IntN(7) {
	case 0:
		return w.of("not ", "! ", "!") + w.expression(depth-1)
	case 1:
		return "( " + w.expression(depth-1) + " )"
	case 2:
		return w.shorthand()
	}
	l, r := w.expression(w.IntN(depth)), w.expression(w.IntN(depth))
	if chance(w.Rand, 3) {
		r = "( " + r + " )"
	}
	return l + w.of(" and ", " or ", " && ", " || ") + r
}

func (w *writer) shorthand() string {
	id, head := w.port, w.of("", "tcp ", "udp ", "src ", "dst ", "udp dst ")+"port "
	switch w.IntN(3) {
	case 0:
		id, head = w.host, w.of("host ", "src ", "dst host ", "ip host ", "src and dst ")
	case 1:
		id, head = w.protocol, w.of("ip proto ", "proto ", "ip6 proto ")
	}
	e := head + w.ids(id, 2)
	for range 1 + w.IntN(3) {
		e += w.of(" or ", " and ", " or not ") + w.ids(id, 1)
	}
	return e
}

func (w *writer) ids(id func() string, depth int) string {
	switch {
	case depth == 0 || w.IntN(3) > 0:
		return id()
	case chance(w.Rand, 3):
		return "not " + w.ids(id, depth-1)
	}
	return "( " + w.ids(id, depth-1) + w.of(" or ", " and ") + w.ids(id, depth-1) + " )"
}

func (w *writer) port() string {
	if chance(w.Rand, 50) {
		return w.of("nonesuch", "70000", "10.1", "::1", "080")
	}
	if chance(w.Rand, 8) {
		return w.of("http", "domain", "https", "ftp-data", "tftp", "syslog", "shell", "0x50", "0120", `\http`)
	}
	return fmt.Sprint(pick(w.Rand, poolPorts))
}

func (w *writer) protocol() string {
	return w.of("6", "17", "1", "58", "0", "44", "51", "300", `\tcp`, `\udp`, `\icmp`, "ipv6-icmp", `\esp`, "( 6 )")
}

func (w *writer) host() string {
	if chance(w.Rand, 3) {
		return pick(w.Rand, poolAddrs6)
	}
	return w.host4()
}

func (w *writer) host4() string {
	a := netip.AddrFrom4(pick(w.Rand, poolAddrs4)).String()
	if chance(w.Rand, 12) {
		return w.of("10", "10.1", "1.2.3", "5", "010.1.2.3", "0xa", "300.1.1.1")
	}
	return a
}

func (w *writer) net() string {
	switch w.IntN(7) {
	case 0:
		return w.of("10", "10.0", "192.168.1", "172.16", "224", "0", "192.168", "1.2.3.4", "65536", "300")
	case 1:
		return w.of("10.0.0.0/8", "10.0/16", "192.168.1.0/24", "192.168.1.0/24", "0.0.0.0/0", "224.0.0.0/4", "10.1.2.3/32")
	case 2:
		return w.of("10.0.0.0 mask 255.0.0.0", "192.168.1.0 mask 255.255.255.0", "10.0.0.1 mask 255.0.0.255", "10.0 mask 255.0", "10.1.0.0 mask 255.0")
	case 3:
		return w.of("2001:db8::/32", "2001:db8::/33", "ff00::/8", "::/0", "fe80::/10", "2001:db8::1/128", "2001:db8::1/64", "::/129")
	}
	a := netip.AddrFrom4(pick(w.Rand, poolAddrs4))
	if chance(w.Rand, 3) {
		a = netip.MustParseAddr(pick(w.Rand, poolAddrs6)).Unmap()
	}
	p, _ := a.Prefix(w.IntN(a.BitLen() + 1)) // bits beyond the length are cleared
	return p.String()
}

func (w *writer) primitive() string {
	dir := w.of("", "", "src ", "dst ", "src or dst ", "dst or src ", "src and dst ", "dst and src ")
	if chance(w.Rand, 40) {
		return w.nonsense()
	}
	switch w.IntN(20) {
	case 0, 1:
		return w.of("tcp", "udp", "icmp", "icmp6", "ip", "ip6", "sctp", "igmp", "pim", "ah", "esp", "vrrp", "carp", "igrp", "not arp")
	case 2, 3:
		if chance(w.Rand, 3) {
			return "ip " + dir + "host " + w.host4()
		}
		return w.of("host ", dir+"host ", "src ", "dst ") + w.host()
	case 4, 5:
		return dir + "net " + w.net()
	case 6, 7, 8:
		return w.of("", "tcp ", "udp ", "sctp ", "icmp ") + dir + "port " + w.port()
	case 9:
		return w.of("", "tcp ", "udp ") + dir + "portrange " + w.of("0-80", "81-20", "53-53", "443-65535", "http-https", "1024", "domain-80", "tftp-http", "5-99999")
	case 10:
		return w.of("ip ", "ip6 ", "") + "proto " + w.protocol()
	case 11:
		return w.of("ip multicast", "ip6 multicast", "ip broadcast")
	case 12:
		return w.of("less ", "greater ") + w.of("20", "40", "60", "0x28", "1500", "060", "0")
	}
	return w.arith(2) + w.of(" = ", " == ", " != ", " < ", " <= ", " > ", " >= ") + w.of(w.arith(1), w.number())
}

// nonsense is what is mostly refused.
func (w *writer) nonsense() string {
	return w.of("vlan", "mpls", "ether host 1:2:3:4:5:6", "inbound", "gateway x", "host", "(", "ip proto tcp",
		"tcp host 10.0.0.1", "ether proto 0x800", `ether proto \ip6`, `ether proto \arp`, "1.2.3.4", "80",
		"net 10.0.0.0/8/8", "llc", "", "arp", "stp", "decnet", "icmp port 80", "ip6 host 10.0.0.1", "ip net ::/0",
		"tcp proto 6", "link broadcast", "ip[0]", "ah[0] = 1", "ip[0:3] = 1", "arp net 10.0.0.0/8", "radio[0] = 1")
}

func (w *writer) number() string {
	return w.of("0", "1", "2", "5", "6", "8", "13", "0x45", "60", "80", "255", "443", "0x0800", "65535", "0xffffffff", "010",
		"tcp-syn", "tcp-ack", "icmp-echo", "icmp6-echo", "(tcp-syn|tcp-ack)")
}

func (w *writer) arith(depth int) string {
	if depth == 0 || chance(w.Rand, 4) {
		return w.of(w.number(), "len", w.load(0), w.load(0), w.load(0))
	}
	switch w.IntN(6) {
	case 0:
		return w.of("- ", "-") + w.arith(depth-1)
	case 1:
		return "( " + w.arith(depth-1) + " )"
	case 2:
		return w.load(depth - 1)
	}
	return w.arith(depth-1) + w.of(" + ", " - ", " * ", " / ", " % ", " & ", " & ", " | ", " ^ ", " << ", " >> ", "&") + w.arith(depth-1)
}

func (w *writer) load(depth int) string {
	proto := w.of("ip", "ip", "ip6", "tcp", "tcp", "udp", "icmp", "icmp6", "sctp", "igmp", "pim", "vrrp", "carp", "link", "ether", "ip", "tcp")
	index := w.of("0", "1", "2", "6", "8", "9", "12", "13", "16", "20", "40", "tcpflags", "icmptype", "icmp6code", "70000", "0xffffffff")
	if depth > 0 {
		index = w.arith(depth)
	}
	return proto + w.of("[", "[ ") + index + w.of("", "", ":1", ":2", ": 2", ":4") + "]"
}
