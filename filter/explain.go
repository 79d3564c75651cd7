package filter

import (
	"fmt"
	"strings"
)

// Explain tells in words what the filter accepts, one test a line, and what
// it is easily taken for but does not do.
func (p *Program) Explain() string {
	var b strings.Builder
	b.WriteString("accepts a packet if\n")
	outline(&b, p.tree, "", 1)
	for _, note := range p.notes() {
		b.WriteString("note: " + note + "\n")
	}
	return b.String()
}

// outline writes an expression as an indented list.
func outline(b *strings.Builder, e expr, prefix string, depth int) {
	line := func(s string) { fmt.Fprintf(b, "%s- %s%s\n", strings.Repeat("  ", depth), prefix, s) }
	switch e := e.(type) {
	case notExpr:
		if inner, double := e.e.(notExpr); double {
			outline(b, inner.e, prefix, depth)
			return
		}
		outline(b, e.e, "not: ", depth)
	case andExpr, orExpr:
		header, parts := "all of:", alternatives[andExpr](e)
		if _, or := e.(orExpr); or {
			header, parts = "any of:", alternatives[orExpr](e)
		}
		line(header)
		for _, part := range parts {
			outline(b, part, "", depth+1)
		}
	default:
		line(e.describe())
	}
}

// alternatives returns what a chain of the same connective joins.
func alternatives[T andExpr | orExpr](e expr) []expr {
	chain, same := e.(T)
	if !same {
		return []expr{e}
	}
	sides := struct{ l, r expr }(chain)
	return append(alternatives[T](sides.l), sides.r)
}

// notes are the traps that the expression steps into.
func (p *Program) notes() []string {
	var ports, bytes, lost, walks bool
	visit(p.tree, func(e expr) {
		switch e := e.(type) {
		case portExpr:
			ports = true
		case protocolExpr:
			walks = walks || e.family&ipv6 != 0
		case relation:
			loads, right := loadsOf(e.l)
			more, alsoRight := loadsOf(e.r)
			bytes = bytes || loads || more
			lost = lost || right || alsoRight
		}
	})
	if p.dialect == DialectTunrec {
		if ports || bytes || walks {
			return []string{fmt.Sprintf("up to %d IPv6 extension headers are passed", maxHeaders)}
		}
		return nil
	}
	var notes []string
	if ports {
		notes = append(notes, "ports are not looked for behind IPv6 extension headers (the dialect tunrec does)")
	}
	if bytes {
		notes = append(notes, "bytes of a transport protocol are looked at in IPv4 packets only (the dialect tunrec: in both)")
	}
	if lost {
		notes = append(notes, "right of an arithmetic operator, bytes are read without a test for their protocol: put the test in front with \"and\"")
	}
	return notes
}

// visit calls f for every test in e.
func visit(e expr, f func(expr)) {
	switch e := e.(type) {
	case notExpr:
		visit(e.e, f)
	case andExpr:
		visit(e.l, f)
		visit(e.r, f)
	case orExpr:
		visit(e.l, f)
		visit(e.r, f)
	default:
		f(e)
	}
}

// loadsOf reports whether a transport protocol's bytes are read in a, and
// whether any protocol's are right of an operator.
func loadsOf(a arith) (transport, right bool) {
	switch a := a.(type) {
	case negArith:
		return loadsOf(a.a)
	case loadArith:
		transport, right = loadsOf(a.index)
		return transport || a.proto.layer == layerTransport, right
	case binaryArith:
		l, lRight := loadsOf(a.l)
		r, rRight := loadsOf(a.r)
		return l || r, lRight || rRight || readsBytes(a.r)
	}
	return false, false
}

func readsBytes(a arith) bool {
	switch a := a.(type) {
	case negArith:
		return readsBytes(a.a)
	case loadArith:
		return a.proto.layer != layerLink || readsBytes(a.index)
	case binaryArith:
		return readsBytes(a.l) || readsBytes(a.r)
	}
	return false
}

var (
	familyNames = map[family]string{ipv4: "IPv4", ipv6: "IPv6", ipv4 | ipv6: "IPv4 or IPv6"}
	dirNames    = map[dir]string{srcOrDst: "source or destination", srcAndDst: "source and destination", src: "source", dst: "destination"}
	portNames   = map[uint32]string{protoTCP: "TCP", protoUDP: "UDP", protoSCTP: "SCTP"}
)

func (e notExpr) describe() string { return "not " + e.e.describe() }
func (e andExpr) describe() string { return e.l.describe() + " and " + e.r.describe() }
func (e orExpr) describe() string  { return e.l.describe() + " or " + e.r.describe() }

func (everything) describe() string { return "it is any packet" }
func (e never) describe() string    { return "it is " + e.what + ", which no packet here is" }
func (e always) describe() string   { return "it is " + e.what + ", as every packet here is" }

func (e familyExpr) describe() string { return "it is " + familyNames[e.family] }

func (e protocolExpr) describe() string {
	name := fmt.Sprint(e.number)
	if e.name != name {
		name += " (" + e.name + ")"
	}
	return fmt.Sprintf("it is %s and carries protocol %s", familyNames[e.family], name)
}

func (e chainExpr) describe() string {
	return fmt.Sprintf("it is %s and protocol %d is in the chain of its headers", familyNames[e.family], e.number)
}

func (e addrExpr) describe() string {
	version, is := "IPv4", "is"
	if len(e.prefix.word) == 4 {
		version = "IPv6"
	}
	if strings.ContainsAny(e.prefix.text, "/ ") {
		is = "is in"
	}
	return fmt.Sprintf("the %s %s address %s %s", version, dirNames[e.dir], is, e.prefix.text)
}

func (e portExpr) describe() string {
	protocols := "TCP, UDP or SCTP"
	if len(e.protos) == 1 {
		protocols = portNames[e.protos[0]]
	}
	ports := fmt.Sprintf("is %d", e.lo)
	if e.lo != e.hi {
		ports = fmt.Sprintf("is one of %d to %d", e.lo, e.hi)
	}
	return fmt.Sprintf("the %s %s port %s", protocols, dirNames[e.dir], ports)
}

func (e multicastExpr) describe() string {
	if e.family == ipv4 {
		return "the IPv4 destination address is 224.0.0.0 or above"
	}
	return "the IPv6 destination address is in ff00::/8"
}

func (e broadcastExpr) describe() string {
	return fmt.Sprintf("the IPv4 destination address has only zeros or only ones in the bits %#08x", ^e.netmask)
}

func (e relation) describe() string {
	return fmt.Sprintf("%s %s %s", e.l.describe(), e.op, e.r.describe())
}

func (a numberArith) describe() string { return fmt.Sprint(a.n) }
func (lengthArith) describe() string   { return "the packet's length" }
func (a negArith) describe() string    { return "-(" + a.a.describe() + ")" }

func (a binaryArith) describe() string {
	return "(" + a.l.describe() + " " + a.op + " " + a.r.describe() + ")"
}

func (a loadArith) describe() string {
	proto := a.proto.name
	if a.proto.layer == layerLink {
		proto = "the packet"
	}
	if a.size == 1 {
		return fmt.Sprintf("byte %s of %s", a.index.describe(), proto)
	}
	return fmt.Sprintf("%d bytes from byte %s of %s", a.size, a.index.describe(), proto)
}
