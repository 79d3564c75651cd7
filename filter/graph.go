package filter

import "slices"

// A node of the graph is, as a rule, a test with two ways on. The graph has no
// cycles: a program only ever moves forward.
type node struct {
	kind nodeKind
	val  *value

	// The test: val against every number of set (isIn), or against other.
	rel   relop
	set   []uint32
	other *value

	cell uint32 // where a binds node stores val

	yes, no *node

	facts    *fact // what is known here, whichever way was taken
	outcomes [2]fact
	reached  bool // by a way that optimize has followed
	visited  bool // by order
	dead     bool // no way leads from here to acceptance

	// Of emit: what the registers hold on all ways here, and the place of the code.
	entry   registers
	entered bool
	start   int
}

type nodeKind uint8

const (
	tests  nodeKind = iota
	binds           // stores val in scratch memory; goes on to yes
	walks           // begins a walk along IPv6 headers at yes; no leads past it
	walked          // a walk has come to its end; goes on to yes
)

// accept and reject are where all ways end.
var (
	accept = &node{}
	reject = &node{}
)

func (n *node) final() bool { return n == accept || n == reject }

// maxSet bounds a node's set, so that jumps within it stay short.
const maxSet = 64

// A fact is that a test came out in some way, or that another node was passed. The
// facts known at a node are a list: the tests that lie on every way to it,
// latest first.
type fact struct {
	n     *node
	truth bool
	prior *fact
	depth int
}

// outcome returns the facts at n and one more, how n came out.
func (n *node) outcome(truth bool) *fact {
	f, depth := &n.outcomes[0], 1
	if truth {
		f = &n.outcomes[1]
	}
	if n.facts != nil {
		depth += n.facts.depth
	}
	*f = fact{n, truth, n.facts, depth}
	return f
}

// common returns the facts that two ways share.
func common(a, b *fact) *fact {
	for a != b {
		switch {
		case a == nil || b == nil:
			return nil
		case a.depth >= b.depth:
			a = a.prior
		default:
			b = b.prior
		}
	}
	return a
}

// optimize leads every way past the tests whose outcome is known on it, and
// joins tests of one value. It changes no verdict: a test is only passed over
// where its value was computed before, so that its loads cannot fail.
func optimize(root *node) *node {
	for range 2 { // the second round finds what the first one's joining shows
		nodes := order(root)
		root = thread(root, nil)
		arrive(root, nil)
		for _, n := range nodes {
			if !n.reached || n.final() {
				continue
			}
			if n.kind != tests {
				arrive(n.yes, n.outcome(true))
				continue
			}
			yes, no := n.outcome(true), n.outcome(false)
			n.yes, n.no = thread(n.yes, yes), thread(n.no, no)
			arrive(n.yes, yes)
			arrive(n.no, no)
		}
		root = collapse(root, nodes)
	}
	return unmark(root)
}

// unmark takes out the nodes that only optimize has use for.
func unmark(root *node) *node {
	for _, n := range order(root) {
		n.yes, n.no = n.yes.skipMarks(), n.no.skipMarks()
	}
	return root.skipMarks()
}

func (n *node) skipMarks() *node {
	for n != nil && (n.kind == walks || n.kind == walked) {
		n = n.yes
	}
	return n
}

// order returns the nodes so that each one stands before those it leads to.
func order(root *node) []*node {
	nodes := root.visit(nil)
	slices.Reverse(nodes)
	for _, n := range nodes {
		n.visited, n.reached, n.dead, n.facts = false, false, false, nil
	}
	return nodes
}

// visit appends the nodes that n leads to and that were not visited, each one
// behind those it leads to.
func (n *node) visit(nodes []*node) []*node {
	if n.final() || n.visited {
		return nodes
	}
	n.visited = true
	if n.kind == tests {
		nodes = n.no.visit(nodes)
	}
	return append(n.yes.visit(nodes), n)
}

// arrive notes that n can be reached with these facts.
func arrive(n *node, facts *fact) {
	if n.final() {
		return
	}
	if n.reached {
		facts = common(n.facts, facts)
	}
	n.reached, n.facts = true, facts
}

// thread follows a way for as long as it is known where it goes.
func thread(n *node, facts *fact) *node {
	for !n.final() {
		truth, known := n.decide(facts)
		switch {
		case !known:
			return n
		case truth:
			n = n.yes
		default:
			n = n.no
		}
	}
	return n
}

// decide tells the outcome of a test if the facts, or constants, imply it.
func (n *node) decide(facts *fact) (truth, known bool) {
	if n.kind == tests && n.val.op == opConst && n.constant() {
		return n.holds(n.val.k), true
	}
	for f := facts; f != nil; f = f.prior {
		switch {
		case n.kind == walks && f.n.kind == walked:
			return false, true
		case n.kind == tests && f.n.kind == tests && f.n.val == n.val:
			if truth, known := n.implied(f); known {
				return truth, true
			}
		case n.kind == tests && f.n.kind == tests && f.truth:
			if truth, known := n.impliedByBits(f.n); known {
				return truth, true
			}
		}
	}
	return false, false
}

// impliedByBits tells the outcome of a test from one that came out true of other bits
// of the same value: who is in 192.0.2.0/24 is in 192.0.0.0/16, and is not 10.0.0.1.
func (n *node) impliedByBits(f *node) (truth, known bool) {
	base, mask := n.val.bits()
	of, given := f.val.bits()
	if base != of || n.rel != isIn || f.rel != isIn {
		return false, false
	}
	// The value has one of f's numbers in the bits of f. It can have one of n's, if
	// they agree on the bits of both, and has to where n asks for no others.
	can, must := false, mask&^given == 0
	for _, has := range f.set {
		agrees := func(k uint32) bool { return k&^mask == 0 && (k^has)&mask&given == 0 }
		any := slices.ContainsFunc(n.set, agrees)
		can, must = can || any, must && any
	}
	return must, must || !can
}

// implied tells the outcome of a test from another test of the same value.
func (n *node) implied(f *fact) (truth, known bool) {
	switch {
	case f.n.rel == n.rel && f.n.other == n.other && slices.Equal(f.n.set, n.set):
		return f.truth, true
	case f.n.rel != isIn || !n.constant():
		return false, false
	case f.truth: // the value is one of f's set
		truth = n.holds(f.n.set[0])
		for _, k := range f.n.set[1:] {
			if n.holds(k) != truth {
				return false, false
			}
		}
		return truth, true
	case n.rel != isIn:
		return false, false
	}
	for _, k := range n.set { // the value is none of f's set
		if !slices.Contains(f.n.set, k) {
			return false, false
		}
	}
	return false, true
}

// constant reports whether the test is against numbers only.
func (n *node) constant() bool { return n.other == nil || n.other.op == opConst }

// holds tells the outcome for a number, for a test that is constant.
func (n *node) holds(v uint32) bool {
	if n.rel == isIn {
		return slices.Contains(n.set, v)
	}
	return n.rel.holds(v, n.other.k)
}

// collapse takes out nodes from which no way leads to acceptance (whether
// their loads succeed or not, the packet is rejected), and joins each test
// with the next one where both ask for the same value with the same answer.
func collapse(root *node, nodes []*node) *node {
	for _, n := range slices.Backward(nodes) {
		if !n.reached {
			continue
		}
		n.yes = n.yes.live()
		if n.kind != tests {
			n.dead = n.yes == reject
			continue
		}
		n.no = n.no.live()
		n.dead = n.yes == reject && n.no == reject
		n.join()
	}
	return root.live()
}

func (n *node) live() *node {
	if n.dead {
		return reject
	}
	return n
}

// join takes the keys of later tests of the same value into n, where the
// answer to all is the same: "src port 80 or src port 443" is one test. Tests
// of other values in between are let behind n if their loads cannot fail.
func (n *node) join() {
	for n.joins(n.no) && n.no.val == n.val && len(n.set)+len(n.no.set) <= maxSet {
		n.set, n.no = union(n.set, n.no.set), n.no.no
	}
	between := n.no
	if !n.joins(between) || !computed(between.val, n.facts) {
		return
	}
	later := between.no
	if n.joins(later) && later.val == n.val && len(n.set)+len(later.set) <= maxSet {
		behind := *between // other ways may lead to between
		behind.no = later.no
		n.set, n.no = union(n.set, later.set), &behind
	}
}

// joins reports whether next is a test for some numbers, like n, and has the
// same answer.
func (n *node) joins(next *node) bool {
	return n.rel == isIn && !next.final() && next.kind == tests && next.rel == isIn && next.yes == n.yes
}

// computed reports whether the facts include a test of v.
func computed(v *value, facts *fact) bool {
	for f := facts; f != nil; f = f.prior {
		if f.n.kind == tests && f.n.val == v {
			return true
		}
	}
	return false
}

func union(a, b []uint32) []uint32 {
	out := slices.Clone(a)
	for _, k := range b {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}
