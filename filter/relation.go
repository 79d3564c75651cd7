package filter

import "slices"

// generate makes the tests that the relation's bytes are there (it is an IPv4
// packet, TCP, no later fragment), and then its comparison.
func (e relation) generate(g *generator, yes, no *node) *node {
	at := func(base *value) *node {
		compared := g.compare(e.op, g.arith(e.l, base), g.arith(e.r, base), yes, no)
		return g.guard(e.l, base, g.guard(e.r, base, compared, no), no)
	}
	if g.dialect == DialectLibpcap {
		return at(nil)
	}
	protocols := followed(e.l, followed(e.r, nil))
	switch len(protocols) {
	case 0:
		return at(nil)
	case 1:
		return g.transport(protocols[0], at, no)
	}
	return no // no packet has two transport headers
}

// followed adds to known the protocols whose bytes e looks at, and which
// DialectTunrec looks for behind IPv6 extension headers.
func followed(e arith, known []*protocol) []*protocol {
	switch e := e.(type) {
	case negArith:
		return followed(e.a, known)
	case binaryArith:
		return followed(e.l, followed(e.r, known))
	case loadArith:
		known = followed(e.index, known)
		if e.proto.follows() && !slices.Contains(known, e.proto) {
			known = append(known, e.proto)
		}
	}
	return known
}

func (p *protocol) follows() bool {
	return p.layer == layerTransport || p.layer == layerTransport6
}

// compare leaves a constant, if there is one, to the right.
func (g *generator) compare(op string, a, b *value, yes, no *node) *node {
	switch op {
	case "!=":
		return g.compare("=", a, b, no, yes)
	case "<":
		return g.compare(">=", a, b, no, yes)
	case "<=":
		return g.compare(">", a, b, no, yes)
	}
	if a.op == opConst && b.op != opConst {
		switch op {
		case ">":
			return g.compare(">=", b, a, no, yes)
		case ">=":
			return g.compare(">", b, a, no, yes)
		}
		a, b = b, a
	}
	switch {
	case op == ">":
		return g.test(a, isGreater, b, yes, no)
	case op == ">=":
		return g.test(a, isAtLeast, b, yes, no)
	case b.op != opConst:
		return g.test(a, isEqual, b, yes, no)
	case b.k == 0 && a.op == opAnd && a.b.op == opConst:
		return g.test(a.a, hasBits, a.b, no, yes)
	}
	return g.in(a, yes, no, b.k)
}

func (g *generator) arith(e arith, base *value) *value {
	switch e := e.(type) {
	case numberArith:
		return g.values.constant(e.n)
	case negArith:
		return g.binary(opSub, g.values.constant(0), g.arith(e.a, base))
	case binaryArith:
		return g.binary(operators[e.op], g.arith(e.l, base), g.arith(e.r, base))
	case loadArith:
		return g.load(e, base)
	}
	return g.values.intern(value{op: opLen})
}

// load reads bytes of a protocol. base is where the header begins of the one
// that DialectTunrec has followed. Sums with a header's length wrap around at
// 32 bits, as in libpcap: tcp[-4:4] is what stands before the TCP header.
func (g *generator) load(e loadArith, base *value) *value {
	index := g.arith(e.index, base)
	if !e.proto.follows() || base == nil {
		base = g.values.constant(0)
		switch e.proto.layer {
		case layerTransport, layerTransport4:
			base = g.headerLength()
		case layerTransport6:
			base = g.values.constant(40)
		}
	}
	small := index.op == opConst && index.k < 1<<16
	switch {
	case small && base.op == opConst:
		return g.values.load(e.size, base.k+index.k, nil)
	case small:
		return g.values.load(e.size, index.k, base)
	case base.op == opConst:
		return g.values.load(e.size, base.k, index)
	}
	return g.values.load(e.size, 0, g.binary(opAdd, index, base))
}

// guard makes the tests for all loads within e.
func (g *generator) guard(e arith, base *value, yes, no *node) *node {
	switch e := e.(type) {
	case negArith:
		return g.guard(e.a, base, yes, no)
	case binaryArith:
		// libpcap forgets about the right side: "len + udp[0]" reads any
		// packet as if it were UDP over IPv4.
		if g.dialect != DialectLibpcap {
			yes = g.guard(e.r, base, yes, no)
		}
		return g.guard(e.l, base, yes, no)
	case loadArith:
		return g.guardLoad(e, base, yes, no)
	}
	return yes
}

func (g *generator) guardLoad(e loadArith, base *value, yes, no *node) *node {
	inner := func(yes *node) *node { return g.guard(e.index, base, yes, no) }
	switch e.proto.layer {
	case layerLink:
		return inner(yes)
	case layerIP:
		return inner(g.isFamily(ipv4, yes, no))
	case layerIP6:
		return inner(g.isFamily(ipv6, yes, no))
	case layerAbsent:
		return no
	}
	if base != nil && e.proto.follows() {
		return inner(yes)
	}
	if e.proto.layer == layerTransport6 {
		return inner(g.isFamily(ipv6, g.in(g.byteAt(6), yes, no, e.proto.number), no))
	}
	return g.isFamily(ipv4, inner(g.in(g.byteAt(9), g.unfragmented(yes, no), no, e.proto.number)), no)
}
