package filter

import (
	"errors"
	"fmt"
)

// emit writes the graph down as classic BPF, each node before those it leads
// to, and the two verdicts at the end.
func emit(root *node, snaplen uint32) ([]Instruction, error) {
	nodes := order(root)
	e := &emitter{code: make([]Instruction, 0, 2*len(nodes))}
	root.enter(registers{})
	blocks := make([]block, 0, len(nodes)+2)
	for _, n := range nodes {
		blocks = append(blocks, e.block(n))
	}
	if e.err != nil {
		return nil, e.err
	}
	if root != reject {
		blocks = append(blocks, block{n: accept, code: []Instruction{{Op: classRET, K: snaplen}}})
	}
	if root != accept {
		blocks = append(blocks, block{n: reject, code: []Instruction{{Op: classRET, K: 0}}})
	}
	for i := range blocks {
		b := &blocks[i]
		b.farY = b.n.kind == binds && blocks[i+1].n != b.n.yes
	}
	return layOut(blocks)
}

// registers are the values that A and X are known to hold; nil is unknown.
type registers struct{ a, x *value }

type emitter struct {
	code []Instruction // of all blocks so far
	now  registers
	err  error
}

// enter notes what the registers hold on one more way to n.
func (n *node) enter(r registers) {
	if n.final() {
		return
	}
	if n.entered && n.entry.a != r.a {
		r.a = nil
	}
	if n.entered && n.entry.x != r.x {
		r.x = nil
	}
	n.entered, n.entry = true, r
}

// A block is the code of a node up to its jumps.
type block struct {
	n    *node
	code []Instruction
	test uint16 // the jump: its comparison and source
	keys []uint32

	start int
	// Where an unconditional jump has to go on to yes or no: they are too far
	// for a conditional one, or there is none and yes is not next.
	farY, farN bool
}

func (e *emitter) block(n *node) block {
	begin := len(e.code)
	e.now = n.entry
	b := block{n: n}
	switch {
	case n.kind == binds:
		e.loadA(n.val, 0)
		e.add(classST, n.cell)
		n.yes.enter(e.now)
		b.code = e.code[begin:len(e.code):len(e.code)]
		return b
	case n.rel == isIn:
		e.loadA(n.val, 0)
		b.keys = n.set
	case n.other.op == opConst:
		e.loadA(n.val, 0)
		b.keys = []uint32{n.other.k}
	default:
		e.loadBoth(n.val, n.other, 0)
		b.test, b.keys = srcX, []uint32{0}
	}
	b.test |= jumps[n.rel]
	b.code = e.code[begin:len(e.code):len(e.code)]
	n.yes.enter(e.now)
	n.no.enter(e.now)
	return b
}

func (e *emitter) add(op uint16, k uint32) {
	e.code = append(e.code, Instruction{Op: op, K: k})
}

// loadA computes v into A. Scratch cells from depth on are free.
func (e *emitter) loadA(v *value, depth uint32) {
	if e.now.a == v {
		return
	}
	switch v.op {
	case opConst:
		e.add(classLD|modeIMM, v.k)
	case opLen:
		e.add(classLD|modeLEN, 0)
	case opMem:
		e.add(classLD|modeMEM, v.size)
	case opIHL:
		e.loadX(v, depth)
		e.add(classMISC|miscTXA, 0)
	case opLoad:
		size := sizes[v.size]
		if v.a == nil {
			e.add(classLD|size|modeABS, v.k)
			break
		}
		e.loadX(v.a, depth)
		e.add(classLD|size|modeIND, v.k)
	default:
		e.compute(v, depth)
	}
	e.now.a = v
}

var (
	jumps = [...]uint16{isIn: jmpJEQ, isEqual: jmpJEQ, isGreater: jmpJGT, isAtLeast: jmpJGE, hasBits: jmpJSET}
	sizes = [...]uint16{1: sizeB, 2: sizeH, 4: sizeW}
	// Operators in front of opAdd have none.
	aluOps = [...]uint16{opAdd: aluADD, opSub: aluSUB, opMul: aluMUL, opDiv: aluDIV, opMod: aluMOD,
		opAnd: aluAND, opOr: aluOR, opXor: aluXOR, opLsh: aluLSH, opRsh: aluRSH}
)

func (e *emitter) compute(v *value, depth uint32) {
	op := classALU | aluOps[v.op]
	if v.b.op == opConst {
		e.loadA(v.a, depth)
		e.add(op, v.b.k)
		return
	}
	e.loadBoth(v.a, v.b, depth)
	e.add(op|srcX, 0)
}

// loadBoth computes a into A and x into X.
func (e *emitter) loadBoth(a, x *value, depth uint32) {
	if x.direct() {
		e.loadA(a, depth)
		e.loadX(x, depth)
		return
	}
	if depth >= cellLast {
		e.err = errors.New("the arithmetic is nested too deeply")
		return
	}
	if x.cells() >= a.cells() {
		e.loadA(x, depth)
		e.add(classST, depth)
		e.loadA(a, depth+1)
		e.add(classLDX|modeMEM, depth)
	} else {
		e.loadA(a, depth)
		e.add(classST, depth)
		e.loadA(x, depth+1)
		e.add(classMISC|miscTAX, 0)
		e.add(classLD|modeMEM, depth)
	}
	e.now = registers{a, x}
}

// cells is how many scratch cells it takes to compute v: as few as can be
// where loadBoth begins with the side that takes more.
func (v *value) cells() int {
	switch {
	case v.op == opLoad && v.a != nil:
		return v.a.cells()
	case v.op < opAdd:
		return 0
	case v.b.direct():
		return v.a.cells()
	}
	a, b := v.a.cells(), v.b.cells()
	return max(a, b, min(a, b)+1)
}

// direct reports whether X is loaded without the help of A. The length could
// be, too, but golang.org/x/net/bpf takes that instruction for another one.
func (v *value) direct() bool {
	return v.op == opConst || v.op == opIHL || v.op == opMem
}

func (e *emitter) loadX(v *value, depth uint32) {
	if e.now.x == v {
		return
	}
	switch v.op {
	case opConst:
		e.add(classLDX|modeIMM, v.k)
	case opMem:
		e.add(classLDX|modeMEM, v.size)
	case opIHL:
		e.add(classLDX|sizeB|modeMSH, 0)
	default:
		e.loadA(v, depth)
		e.add(classMISC|miscTAX, 0)
	}
	e.now.x = v
}

// layOut gives every block its place and resolves the jumps. A conditional
// jump reaches 255 instructions; farther ways take an unconditional one.
func layOut(blocks []block) ([]Instruction, error) {
	var at places
	for changed := true; changed; {
		size := 0
		for i := range blocks {
			b := &blocks[i]
			b.start = size
			at.set(b.n, size)
			size += b.size()
		}
		if size > maxInstructions {
			return nil, fmt.Errorf("the program needs %d instructions, more than %d", size, maxInstructions)
		}
		changed = false
		for i := range blocks {
			b := &blocks[i]
			if b.keys == nil {
				continue
			}
			from := b.start + len(b.code) + 1 // behind the first jump
			if !b.farY && at.of(b.n.yes)-from > 255 {
				b.farY, changed = true, true
			}
			if !b.farN && at.of(b.n.no)-from > 255 {
				b.farN, changed = true, true
			}
		}
	}
	out := make([]Instruction, 0, at.reject+1)
	for i := range blocks {
		out = blocks[i].write(out, &at)
	}
	return out, nil
}

// places are where the code of each node begins. accept and reject stand in all
// graphs, so they do not know theirs.
type places struct{ accept, reject int }

func (p *places) set(n *node, start int) {
	switch n {
	case accept:
		p.accept = start
	case reject:
		p.reject = start
	default:
		n.start = start
	}
}

func (p *places) of(n *node) int {
	switch n {
	case accept:
		return p.accept
	case reject:
		return p.reject
	case nil: // the way no of a binds node
		return 0
	}
	return n.start
}

func (b *block) size() int {
	size := len(b.code) + len(b.keys)
	if b.farY {
		size++
	}
	if b.farN {
		size++
	}
	return size
}

func (b *block) write(out []Instruction, at *places) []Instruction {
	out = append(out, b.code...)
	behind := len(out) + len(b.keys) // the last test
	yes, no := at.of(b.n.yes), at.of(b.n.no)
	if b.farN {
		no = behind
	}
	if b.farY {
		yes = b.start + b.size() - 1
	}
	for i, key := range b.keys {
		in := Instruction{Op: classJMP | b.test, K: key, Jt: uint8(yes - len(out) - 1)}
		if i == len(b.keys)-1 {
			in.Jf = uint8(no - len(out) - 1)
		}
		out = append(out, in)
	}
	for _, far := range []struct {
		is bool
		to *node
	}{{b.farN, b.n.no}, {b.farY, b.n.yes}} {
		if far.is {
			out = append(out, Instruction{Op: classJMP | jmpJA, K: uint32(at.of(far.to) - len(out) - 1)})
		}
	}
	return out
}
