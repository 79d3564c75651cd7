package filter

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132
)

// port makes the test for a port or a range of ports.
func (p *parser) port(q qualifiers, t token) (expr, *SyntaxError) {
	if q.proto != nil && !q.proto.hasPorts {
		return nil, p.errorAt(t, "write "+q.proto.name+" and port "+t.text, "%q has no ports", q.proto.name)
	}
	if t.kind == kindDotted || t.kind == kindIPv6 {
		return nil, p.errorAt(t, "", "expected a port, not an address")
	}
	first, last := t.text, t.text
	if q.typ == "portrange" && t.kind == kindName {
		var isRange bool
		if first, last, isRange = strings.Cut(t.text, "-"); !isRange {
			return nil, p.errorAt(t, "", "expected a range of ports, like 6000-6063")
		}
	}
	lo, loProto, err := p.portNumber(q, t, first)
	if err != nil {
		return nil, err
	}
	hi, hiProto, err := p.portNumber(q, t, last)
	if err != nil {
		return nil, err
	}
	e := portExpr{dir: q.dir, protos: []uint32{protoSCTP, protoTCP, protoUDP}, lo: min(lo, hi), hi: max(lo, hi)}
	if q.proto != nil {
		e.protos = []uint32{q.proto.number}
	}
	// The name of a service that one protocol only has asks for it, in a range
	// if that holds for both ends.
	if loProto != 0 && loProto == hiProto {
		if q.proto != nil && q.proto.number != loProto {
			return nil, p.errorAt(t, "write the number", "port %q is not one of %s", t.text, q.proto.name)
		}
		e.protos = []uint32{loProto}
	}
	return e, nil
}

// portNumber reads a port. For a service that only TCP or only UDP has, it
// returns that protocol's number, too.
func (p *parser) portNumber(q qualifiers, t token, s string) (port, protocol uint32, _ *SyntaxError) {
	if t.kind == kindNumber || isNumeral(s) && !strings.HasPrefix(s, "0x") && !strings.HasPrefix(s, "0X") {
		n := uint64(t.num)
		if t.kind != kindNumber {
			n, _ = strconv.ParseUint(s, 10, 64)
		}
		if n > 65535 {
			return 0, 0, p.errorAt(t, "", "ports end at 65535")
		}
		return uint32(n), 0, nil
	}
	known, ok := systemNames().services[s]
	if !ok {
		return 0, 0, p.errorAt(t, p.portHint(q, t), "unknown port %q", s)
	}
	switch {
	case known.tcp >= 0 && known.udp < 0:
		port, protocol = uint32(known.tcp), protoTCP
	case known.udp >= 0 && known.tcp < 0:
		port, protocol = uint32(known.udp), protoUDP
	case known.tcp == known.udp:
		port = uint32(known.tcp)
	default:
		return 0, 0, p.errorAt(t, "write the number", "port %q is one for TCP and another one for UDP", s)
	}
	return port, protocol, nil
}

func (p *parser) portHint(q qualifiers, t token) string {
	if first, last, ok := strings.Cut(t.text, "-"); ok && q.typ == "port" && isNumeral(first) && isNumeral(last) {
		return "write portrange " + t.text
	}
	return didYouMean(t.text, systemNames().serviceNames())
}

// protocolNumber makes the test for "proto".
func (p *parser) protocolNumber(q qualifiers, t token) (expr, *SyntaxError) {
	switch {
	case q.proto == nil:
		n, err := p.transport(t)
		return protocolExpr{ipv4 | ipv6, n, t.text}, err
	case q.proto.layer == layerIP:
		n, err := p.transport(t)
		return protocolExpr{ipv4, n, t.text}, err
	case q.proto.layer == layerIP6:
		n, err := p.transport(t)
		return protocolExpr{ipv6, n, t.text}, err
	case q.proto.layer == layerLink:
		return p.etherType(t)
	}
	return nil, p.errorAt(t, "", "%q carries no other protocol", q.proto.name)
}

// transport reads the number or name of a transport protocol.
func (p *parser) transport(t token) (uint32, *SyntaxError) {
	switch t.kind {
	case kindNumber:
		return t.num, nil
	case kindName:
		if n, ok := systemNames().protocols[t.text]; ok {
			return n, nil
		}
		return 0, p.errorAt(t, didYouMean(t.text, systemNames().protocolNames()), "unknown protocol %q", t.text)
	}
	return 0, p.errorAt(t, "", "expected a protocol, not an address")
}

// etherType makes the test for "ether proto". Raw IP has no such field, but
// shows by itself what the field would say.
func (p *parser) etherType(t token) (expr, *SyntaxError) {
	n, known := t.num, t.kind == kindNumber
	if t.kind == kindName {
		n, known = etherTypes[t.text]
	}
	switch {
	case !known:
		return nil, p.errorAt(t, didYouMean(t.text, slices.Sorted(maps.Keys(etherTypes))), "unknown Ethernet protocol %q", t.text)
	case n == etherTypes["ip"]:
		return familyExpr{ipv4}, nil
	case n == etherTypes["ip6"]:
		return familyExpr{ipv6}, nil
	}
	return never{fmt.Sprintf("Ethernet protocol %#x", n)}, nil
}

// chain makes the test for "protochain".
func (p *parser) chain(q qualifiers, t token) (expr, *SyntaxError) {
	e := chainExpr{family: ipv4 | ipv6}
	switch {
	case q.proto == nil:
	case q.proto.layer == layerIP:
		e.family = ipv4
	case q.proto.layer == layerIP6:
		e.family = ipv6
	default:
		return nil, p.errorAt(t, "", "%q has no chain of headers", q.proto.name)
	}
	var err *SyntaxError
	e.number, err = p.transport(t)
	return e, err
}
