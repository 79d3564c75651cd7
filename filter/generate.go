package filter

import "fmt"

// generator turns expressions into a graph, backwards: a node is made after
// those that it leads to.
type generator struct {
	values  values
	dialect Dialect
	nodes   int      // made so far
	room    []node   // for the next ones
	sets    []uint32 // the numbers of all tests for some
	binds   uint32   // opMem values made so far
	err     error    // the first one
}

// maxNodes bounds the time that compiling takes. optimize takes out most of
// the nodes of a long expression, so there may be more than instructions.
const maxNodes = 8 * maxInstructions

func generate(e expr, o Options) (*node, error) {
	g := &generator{values: values{}, dialect: o.Dialect}
	root := e.generate(g, accept, reject)
	if g.nodes > maxNodes && g.err == nil {
		g.err = fmt.Errorf("the expression makes %d tests, more than %d", g.nodes, maxNodes)
	}
	return root, g.err
}

func (e notExpr) generate(g *generator, yes, no *node) *node { return e.e.generate(g, no, yes) }

func (e andExpr) generate(g *generator, yes, no *node) *node {
	return e.l.generate(g, e.r.generate(g, yes, no), no)
}

func (e orExpr) generate(g *generator, yes, no *node) *node {
	return e.l.generate(g, yes, e.r.generate(g, yes, no))
}

func (everything) generate(_ *generator, yes, _ *node) *node { return yes }
func (always) generate(_ *generator, yes, _ *node) *node     { return yes }
func (never) generate(_ *generator, _, no *node) *node       { return no }

func (g *generator) node(k nodeKind, v *value, yes, no *node) *node {
	g.nodes++
	if len(g.room) == 0 {
		g.room = make([]node, 16) // one by one takes longer
	}
	n := &g.room[0]
	g.room = g.room[1:]
	n.kind, n.val, n.yes, n.no = k, v, yes, no
	return n
}

// in tests whether a value is one of some numbers.
func (g *generator) in(v *value, yes, no *node, set ...uint32) *node {
	begin := len(g.sets)
	g.sets = append(g.sets, set...)
	n := g.node(tests, v, yes, no)
	n.rel, n.set = isIn, g.sets[begin:len(g.sets):len(g.sets)]
	return n
}

// test compares a value with another one.
func (g *generator) test(v *value, rel relop, other *value, yes, no *node) *node {
	n := g.node(tests, v, yes, no)
	n.rel, n.other = rel, other
	return n
}

// masked tests whether a value is equal to k in the bits of mask.
func (g *generator) masked(v *value, mask, k uint32, yes, no *node) *node {
	if mask != ^uint32(0) {
		v = g.binary(opAnd, v, g.values.constant(mask))
	}
	return g.in(v, yes, no, k)
}

func (g *generator) binary(op valueOp, a, b *value) *value {
	v, err := g.values.binary(op, a, b)
	if err != nil {
		if g.err == nil {
			g.err = err
		}
		return a
	}
	return v
}

func (g *generator) byteAt(offset uint32) *value { return g.values.load(1, offset, nil) }
func (g *generator) halfAt(offset uint32) *value { return g.values.load(2, offset, nil) }
func (g *generator) wordAt(offset uint32) *value { return g.values.load(4, offset, nil) }

// isFamily tests the version in the first byte.
func (g *generator) isFamily(f family, yes, no *node) *node {
	version := uint32(0x40)
	if f == ipv6 {
		version = 0x60
	}
	return g.masked(g.byteAt(0), 0xf0, version, yes, no)
}

// perFamily makes the tests for the families that f has, IPv4's first.
func (g *generator) perFamily(f family, test4, test6 func(yes, no *node) *node, yes, no *node) *node {
	if f&ipv6 != 0 {
		no = g.isFamily(ipv6, test6(yes, no), no)
	}
	if f&ipv4 != 0 {
		no = g.isFamily(ipv4, test4(yes, no), no)
	}
	return no
}

// unfragmented tests that an IPv4 packet is not a later fragment, which holds
// no transport header (RFC 791 §3.1: fragment offset).
func (g *generator) unfragmented(yes, no *node) *node {
	return g.test(g.halfAt(6), hasBits, g.values.constant(0x1fff), no, yes)
}

func (e familyExpr) generate(g *generator, yes, no *node) *node {
	return g.isFamily(e.family, yes, no)
}

func (e protocolExpr) generate(g *generator, yes, no *node) *node {
	return g.perFamily(e.family, func(yes, no *node) *node {
		return g.in(g.byteAt(9), yes, no, e.number)
	}, func(yes, no *node) *node {
		if g.dialect == DialectTunrec {
			return g.protocol6(e.number, yes, no)
		}
		// libpcap looks behind a fragment header, and no other.
		fragment := g.in(g.byteAt(6), g.in(g.byteAt(40), yes, no, e.number), no, headerFragment)
		return g.in(g.byteAt(6), yes, fragment, e.number)
	}, yes, no)
}

func (e addrExpr) generate(g *generator, yes, no *node) *node {
	fam, from, to := ipv4, uint32(12), uint32(16)
	if len(e.prefix.word) == 4 {
		fam, from, to = ipv6, 8, 24
	}
	at := func(offset uint32) func(yes, no *node) *node {
		return func(yes, no *node) *node {
			for i := len(e.prefix.word) - 1; i >= 0; i-- {
				yes = g.masked(g.wordAt(offset+4*uint32(i)), e.prefix.mask[i], e.prefix.word[i], yes, no)
			}
			return yes
		}
	}
	return g.isFamily(fam, directed(e.dir, at(from), at(to), yes, no), no)
}

// directed combines the tests of the source and the destination.
func directed(d dir, from, to func(yes, no *node) *node, yes, no *node) *node {
	switch d {
	case src:
		return from(yes, no)
	case dst:
		return to(yes, no)
	case srcAndDst:
		return from(to(yes, no), no)
	}
	return from(yes, to(yes, no))
}

func (e portExpr) generate(g *generator, yes, no *node) *node {
	behind := no
	if g.dialect == DialectTunrec {
		behind = g.walk6(g.in(g.last(), g.ports(e, 0, g.lastAt(), yes, no), no, e.protos...))
	}
	four := g.in(g.byteAt(9), g.unfragmented(g.ports(e, 0, g.headerLength(), yes, no), no), no, e.protos...)
	six := g.in(g.byteAt(6), g.ports(e, 40, nil, yes, no), behind, e.protos...)
	return g.isFamily(ipv6, six, g.isFamily(ipv4, four, no))
}

func (g *generator) headerLength() *value { return g.values.intern(value{op: opIHL}) }

// ports tests the ports of a transport header at offset + base.
func (g *generator) ports(e portExpr, offset uint32, base *value, yes, no *node) *node {
	at := func(offset uint32) func(yes, no *node) *node {
		v := g.values.load(2, offset, base)
		return func(yes, no *node) *node {
			if e.lo == e.hi {
				return g.in(v, yes, no, e.lo)
			}
			return g.test(v, isAtLeast, g.values.constant(e.lo), g.test(v, isGreater, g.values.constant(e.hi), no, yes), no)
		}
	}
	return directed(e.dir, at(offset), at(offset+2), yes, no)
}

func (e multicastExpr) generate(g *generator, yes, no *node) *node {
	if e.family == ipv4 {
		return g.isFamily(ipv4, g.test(g.byteAt(16), isAtLeast, g.values.constant(224), yes, no), no)
	}
	return g.isFamily(ipv6, g.in(g.byteAt(24), yes, no, 0xff), no)
}

func (e broadcastExpr) generate(g *generator, yes, no *node) *node {
	host := ^e.netmask
	to := g.wordAt(16)
	return g.isFamily(ipv4, g.masked(to, host, 0, yes, g.masked(to, host, host, yes, no)), no)
}
