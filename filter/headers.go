package filter

// Walking the chain of headers of a packet (RFC 8200 §4, RFC 4302 §2).

// maxHeaders is how many headers in front of the transport header are passed.
// RFC 8200 §4.1 knows of six.
const maxHeaders = 6

const (
	headerHopByHop    = 0
	headerRouting     = 43
	headerFragment    = 44
	headerAH          = 51
	headerDestination = 60
	headerMobility    = 135
	headerHIP         = 139
	headerShim6       = 140
)

// Cells of scratch memory; arithmetic has those before.
const (
	cellLast   = 12 // a walk's result: number of the last header
	cellLastAt = 13 // and where it begins
	cellNext   = 14 // during a walk: number of the header that comes next
	cellNextAt = 15 // and where it begins
)

// laterFragment is added to the number of the last header where a fragment
// header says that this packet does not hold it.
const laterFragment = 0x100

// last is the number of the last header of an IPv6 packet, lastAt its offset.
// They stand behind walk6.
func (g *generator) last() *value   { return g.values.intern(value{op: opMem, size: cellLast}) }
func (g *generator) lastAt() *value { return g.values.intern(value{op: opMem, size: cellLastAt}) }

// binding makes a value that a bind node will store in a cell. It is another
// one each time, because the cell is used again.
func (g *generator) binding(cell uint32) *value {
	g.binds++
	return g.values.intern(value{op: opMem, k: g.binds, size: cell})
}

// bind stores v where the value to finds it.
func (g *generator) bind(to, v *value, next *node) *node {
	n := g.node(binds, v, next, nil)
	n.cell = to.size
	return n
}

// walk6 finds the last header of an IPv6 packet, and goes on. Where another
// walk has been on the way, it is not done again.
func (g *generator) walk6(next *node) *node {
	done := g.node(walked, nil, next, nil)
	end := func(number, at *value) *node {
		return g.bind(g.last(), number, g.bind(g.lastAt(), at, done))
	}
	first := g.steps6(maxHeaders, g.byteAt(6), g.values.constant(40), steps{
		check: func(_ *value, onward *node) *node { return onward },
		end:   end,
		later: func(at *value) *node {
			number := g.binary(opAdd, g.values.load(1, 0, at), g.values.constant(laterFragment))
			return end(number, at)
		},
	})
	return g.node(walks, nil, first, next)
}

// chain6 tests whether the chain of an IPv6 packet has a header.
func (g *generator) chain6(number uint32, yes, no *node) *node {
	return g.steps6(maxHeaders, g.byteAt(6), g.values.constant(40), steps{
		check: func(next *value, onward *node) *node { return g.in(next, yes, onward, number) },
		end:   func(_, _ *value) *node { return no },
	})
}

// steps says what to do on a walk.
type steps struct {
	check func(next *value, onward *node) *node // before a header is passed
	end   func(next, at *value) *node           // where there is none to pass
	later func(at *value) *node                 // instead of passing a later fragment's header; may be nil
}

// steps6 makes the tests for a header of number next at offset at, and for
// those behind it.
func (g *generator) steps6(left int, next, at *value, s steps) *node {
	if left == 0 {
		return s.check(next, s.end(next, at))
	}
	newNext, newAt := g.binding(cellNext), g.binding(cellNextAt)
	behind := g.steps6(left-1, newNext, newAt, s)
	inEights := g.pass(at, newNext, newAt, 8, 1, behind)
	fragment := inEights // its second byte is 0, its length 8
	if s.later != nil {
		fragment = g.test(g.values.load(2, 2, at), hasBits, g.values.constant(0xfff8), s.later(at), inEights)
	}
	step := g.in(next, g.pass(at, newNext, newAt, 4, 2, behind), s.end(next, at), headerAH)
	step = g.in(next, fragment, step, headerFragment)
	step = g.in(next, inEights, step, headerHopByHop, headerRouting, headerDestination,
		headerMobility, headerHIP, headerShim6)
	return s.check(next, step)
}

// pass goes from the header at offset at to the one behind. The first byte of
// a header is the next one's number, the second byte plus some is its length
// in units. The offset is stored last, for at may be in the same cell.
func (g *generator) pass(at, newNext, newAt *value, unit, plus uint32, behind *node) *node {
	length := g.binary(opAdd, g.values.load(1, 1, at), g.values.constant(plus))
	length = g.binary(opMul, length, g.values.constant(unit))
	return g.bind(newNext, g.values.load(1, 0, at), g.bind(newAt, g.binary(opAdd, length, at), behind))
}

// chain4 tests whether the chain of an IPv4 packet has a header; only AH leads
// on.
func (g *generator) chain4(left int, next, at *value, number uint32, yes, no *node) *node {
	onward := no
	if left > 0 {
		newNext, newAt := g.binding(cellNext), g.binding(cellNextAt)
		behind := g.chain4(left-1, newNext, newAt, number, yes, no)
		onward = g.in(next, g.pass(at, newNext, newAt, 4, 2, behind), no, headerAH)
	}
	return g.in(next, yes, onward, number)
}

func (e chainExpr) generate(g *generator, yes, no *node) *node {
	return g.perFamily(e.family, func(yes, no *node) *node {
		return g.chain4(maxHeaders, g.byteAt(9), g.headerLength(), e.number, yes, no)
	}, func(yes, no *node) *node {
		return g.chain6(e.number, yes, no)
	}, yes, no)
}

// protocol6 tests for a protocol behind IPv6 extension headers.
func (g *generator) protocol6(number uint32, yes, no *node) *node {
	switch number {
	case headerHopByHop, headerRouting, headerFragment, headerAH, headerDestination,
		headerMobility, headerHIP, headerShim6:
		return g.chain6(number, yes, no)
	}
	behind := g.walk6(g.in(g.last(), yes, no, number, number|laterFragment))
	return g.in(g.byteAt(6), yes, behind, number)
}

// transport tests for a transport protocol over IPv4 or IPv6, and goes on to
// found with where its header begins.
func (g *generator) transport(p *protocol, found func(at *value) *node, no *node) *node {
	behind := g.walk6(g.in(g.last(), found(g.lastAt()), no, p.number))
	six := g.in(g.byteAt(6), found(g.values.constant(40)), behind, p.number)
	if p.layer == layerTransport6 {
		return g.isFamily(ipv6, six, no)
	}
	four := g.unfragmented(found(g.headerLength()), no)
	four = g.in(g.byteAt(9), four, no, p.number)
	return g.isFamily(ipv6, six, g.isFamily(ipv4, four, no))
}
