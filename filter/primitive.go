package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// qualifiers are what stands before a name, number or address.
type qualifiers struct {
	proto *protocol // nil: any
	dir   dir
	typ   string // host, net, port, portrange, proto, protochain
}

// primitive reads a test that begins with a word.
func (p *parser) primitive() (operand, *SyntaxError) {
	first := p.peek()
	q := qualifiers{proto: protocols[first.text]}
	if q.proto != nil {
		p.next()
	}
	t := p.peek()
	switch {
	case t.is("broadcast"), t.is("multicast"):
		p.next()
		e, err := p.cast(q.proto, t)
		return operand{e: e}, err
	case t.is("proto"), t.is("protochain"):
		p.next()
		q.typ = t.text
	case t.is("src"), t.is("dst"), isAddressType(t):
		if err := p.dirAndType(&q); err != nil {
			return operand{}, err
		}
	case q.proto != nil:
		e, err := p.abbreviation(q.proto, first)
		return operand{e: e}, err
	default:
		e, err := p.simple()
		return operand{e: e}, err
	}
	inner, err := p.operand(&q, true)
	return operand{e: inner.e, quals: &q}, err
}

func isAddressType(t token) bool {
	return t.is("host") || t.is("net") || t.is("port") || t.is("portrange")
}

// dirAndType reads [src|dst [or|and dst|src]] [host|net|port|portrange].
func (p *parser) dirAndType(q *qualifiers) *SyntaxError {
	q.typ = "host"
	if t := p.peek(); p.accept("src", "dst") {
		q.dir = src
		other := "dst"
		if t.is("dst") {
			q.dir, other = dst, "src"
		}
		conjunction := p.peek()
		if p.accept("or", "||", "and", "&&") {
			if !p.accept(other) {
				return p.unexpected(strconv.Quote(other))
			}
			q.dir = srcOrDst
			if conjunction.is("and") || conjunction.is("&&") {
				q.dir = srcAndDst
			}
		}
	}
	if t := p.peek(); isAddressType(t) {
		p.next()
		q.typ = t.text
	}
	return nil
}

// abbreviation is the test that a protocol word alone makes.
func (p *parser) abbreviation(proto *protocol, t token) (expr, *SyntaxError) {
	switch proto.layer {
	case layerIP:
		return familyExpr{ipv4}, nil
	case layerIP6:
		return familyExpr{ipv6}, nil
	case layerTransport:
		return protocolExpr{ipv4 | ipv6, proto.number, proto.name}, nil
	case layerTransport4:
		return protocolExpr{ipv4, proto.number, proto.name}, nil
	case layerTransport6:
		return protocolExpr{ipv6, proto.number, proto.name}, nil
	case layerLink:
		return nil, p.errorAt(t, "", "there is no link layer on raw IP")
	}
	return never{t.text}, nil
}

// simple reads the tests without name or qualifiers, and refuses those that
// raw IP has no use for.
func (p *parser) simple() (expr, *SyntaxError) {
	t := p.next()
	switch t.text {
	case "less", "greater":
		n := p.peek()
		if n.kind != kindNumber {
			return nil, p.unexpected("a number of bytes")
		}
		p.next()
		op := map[string]string{"less": "<=", "greater": ">="}[t.text]
		return relation{op, lengthArith{}, numberArith{n.num}}, nil
	case "inbound", "outbound":
		if p.opts.Direction == DirectionUnknown {
			return nil, p.errorAt(t, "", "the direction of these packets is not known")
		}
		if (p.opts.Direction == DirectionIn) == (t.text == "inbound") {
			return always{t.text}, nil
		}
		return never{t.text}, nil
	}
	if slices.Contains(refused, t.text) {
		return nil, p.errorAt(t, "", "%q has no meaning on raw IP", t.text)
	}
	p.at--
	return nil, p.unexpected("a test like \"tcp\", \"host 10.1.2.3\" or \"port 80\"")
}

// cast makes the tests for "broadcast" and "multicast".
func (p *parser) cast(proto *protocol, t token) (expr, *SyntaxError) {
	switch {
	case proto == nil || proto.layer != layerIP && proto.layer != layerIP6:
		return nil, p.errorAt(t, "write ip "+t.text, "there is no link-layer %s on raw IP", t.text)
	case t.is("multicast") && proto.layer == layerIP:
		return multicastExpr{ipv4}, nil
	case t.is("multicast"):
		return multicastExpr{ipv6}, nil
	case proto.layer == layerIP6:
		return nil, p.errorAt(t, "write ip6 multicast", "IPv6 has no broadcast")
	}
	return broadcastExpr{p.opts.Netmask}, nil
}

// qualified makes the test for a name, number or address with its qualifiers.
func (p *parser) qualified(q qualifiers, t token) (expr, *SyntaxError) {
	switch q.typ {
	case "port", "portrange":
		return p.port(q, t)
	case "proto":
		return p.protocolNumber(q, t)
	case "protochain":
		return p.chain(q, t)
	}
	return p.place(q, t)
}

// place makes the test for a host or network.
func (p *parser) place(q qualifiers, t token) (expr, *SyntaxError) {
	if q.proto != nil {
		switch q.proto.layer {
		case layerLink:
			return nil, p.errorAt(t, "", "there are no link-layer addresses on raw IP")
		case layerIP, layerIP6:
		case layerAbsent:
			if q.proto.name != "arp" && q.proto.name != "rarp" {
				return nil, p.errorAt(t, "", "raw IP carries no %s addresses", q.proto.name)
			}
		default:
			return nil, p.errorAt(t, fmt.Sprintf("write %s and %s %s", q.proto.name, q.typ, t.text),
				"%q says nothing about addresses", q.proto.name)
		}
	}
	prefixes, err := p.prefixes(q, t)
	if err != nil {
		return nil, err
	}
	var all expr
	for _, prefix := range prefixes {
		e, err := p.prefixTest(q, t, prefix)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = e
		} else {
			all = orExpr{all, e}
		}
	}
	return all, nil
}

// prefixTest checks an address against the qualifiers' IP version.
func (p *parser) prefixTest(q qualifiers, t token, a address) (expr, *SyntaxError) {
	version, layer := "IPv4", layerIP
	if len(a.word) == 4 {
		version, layer = "IPv6", layerIP6
	}
	switch {
	case q.proto == nil || q.proto.layer == layer:
		return addrExpr{q.dir, a}, nil
	case q.proto.layer == layerAbsent && layer == layerIP:
		return never{q.proto.name}, nil
	}
	return nil, p.errorAt(t, "", "%q does not go with an %s address", q.proto.name, version)
}

// prefixes reads the rest of an address and returns all that it stands for.
func (p *parser) prefixes(q qualifiers, t token) ([]address, *SyntaxError) {
	if t.kind == kindName {
		return p.resolve(q, t)
	}
	a, hint := netip.Addr{}, ""
	bits := -1
	switch t.kind {
	case kindNumber:
		a, bits = numberedAddress(q, t.num)
		hint = "write the octets: 10.0.0.0/8"
	case kindDotted:
		octets, err := dotted(t.text)
		if err != nil {
			return nil, p.errorAt(t, "", "%v", err)
		}
		a = netip.AddrFrom4(octets)
		if n := 8 * (1 + strings.Count(t.text, ".")); n < 32 {
			bits = n
		}
	case kindIPv6:
		a = t.addr
	}
	slash := p.peek()
	if !slash.is("/") && !slash.is("mask") {
		return []address{newAddress(a, bits)}, nil
	}
	if t.kind == kindNumber {
		return nil, p.errorAt(t, hint, "a single number takes no mask")
	}
	p.next()
	out, err := p.mask(q, t, slash, a)
	return []address{out}, err
}

// numberedAddress is the address that a single number stands for: as a host
// all its 32 bits, as a network its leading octets.
func numberedAddress(q qualifiers, n uint32) (netip.Addr, int) {
	bits := -1
	if q.typ == "net" && n != 0 {
		for bits = 32; n < 1<<24; n <<= 8 {
			bits -= 8
		}
	}
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), bits
}

// dotted reads up to four decimal octets.
func dotted(s string) (octets [4]byte, err error) {
	for i, part := range strings.Split(s, ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return octets, fmt.Errorf("%q is no IPv4 address", s)
		}
		octets[i] = byte(n)
	}
	return octets, nil
}

// mask reads what follows "/" or "mask".
func (p *parser) mask(q qualifiers, t, slash token, a netip.Addr) (address, *SyntaxError) {
	m := p.next()
	span := t
	span.len = m.pos + m.len - t.pos
	var out address
	switch {
	case slash.is("mask") && (m.kind != kindDotted || a.Is6()):
		return out, p.errorAt(m, "write net 10.0.0.0 mask 255.0.0.0, or net 10.0.0.0/8", "expected an IPv4 mask")
	case slash.is("mask"):
		octets, err := dotted(m.text)
		if err != nil {
			return out, p.errorAt(m, "", "%v", err)
		}
		out = newAddress(a, -1)
		out.mask = newAddress(netip.AddrFrom4(octets), -1).word
		out.text += " mask " + netip.AddrFrom4(octets).String()
	case m.kind != kindNumber || m.num > uint32(a.BitLen()):
		return out, p.errorAt(m, "", "a mask has 0 to %d bits", a.BitLen())
	default:
		out = newAddress(a, int(m.num))
	}
	// libpcap lets "host ::1/128" pass.
	if q.typ != "net" && !(a.Is6() && m.num == 128 && slash.is("/")) {
		return out, p.errorAt(span, "write net", "only networks have a mask")
	}
	if out.overhang() {
		return out, p.errorAt(span, "", "bits are set outside of the mask")
	}
	return out, nil
}

// resolve finds what a host name or network name stands for.
func (p *parser) resolve(q qualifiers, t token) ([]address, *SyntaxError) {
	if !p.opts.Resolve {
		return nil, p.errorAt(t, "write the address, or allow names to be resolved",
			"%q is no address, and names are not resolved", t.text)
	}
	if q.typ == "net" {
		n, known := lookupNetwork(t.text)
		if !known {
			return nil, p.errorAt(t, "", "unknown network %q", t.text)
		}
		a, bits := numberedAddress(q, n)
		return []address{newAddress(a, bits)}, nil
	}
	found, err := lookupHost(t.text)
	if err != nil {
		return nil, p.errorAt(t, "", "%v", err)
	}
	var out []address
	for _, a := range found {
		wrongFamily := q.proto != nil && (q.proto.layer == layerIP6) != a.Is6()
		if !wrongFamily {
			out = append(out, newAddress(a, -1))
		}
	}
	if len(out) == 0 {
		return nil, p.errorAt(t, "", "host %q has no %s address", t.text, q.proto.name)
	}
	return out, nil
}
