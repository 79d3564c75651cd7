package filter

import (
	"errors"
	"math"
)

// A value is a number that a program computes from a packet. Values are made
// by a table, so that equal ones are the same pointer.
type value struct {
	op   valueOp
	k    uint32 // opConst: the number; opLoad: offset; opMem: which of the cell's values
	size uint32 // opLoad: bytes; opMem: cell
	a, b *value // operands; opLoad: a is added to the offset, or nil
}

type valueOp uint8

const (
	opConst valueOp = iota
	opLen           // the packet's length on the wire
	opLoad          // size bytes at offset k, or k + a
	opIHL           // 4 × (first byte & 15): the length of an IPv4 header
	opMem           // what an earlier node has stored
	opAdd
	opSub
	opMul
	opDiv
	opMod
	opAnd
	opOr
	opXor
	opLsh
	opRsh
)

var operators = map[string]valueOp{
	"+": opAdd, "-": opSub, "*": opMul, "/": opDiv, "%": opMod,
	"&": opAnd, "|": opOr, "^": opXor, "<<": opLsh, ">>": opRsh,
}

type values map[value]*value

func (t values) intern(v value) *value {
	if known, ok := t[v]; ok {
		return known
	}
	made := new(value) // not &v, which would be made for known values, too
	*made = v
	t[v] = made
	return made
}

func (t values) constant(n uint32) *value { return t.intern(value{op: opConst, k: n}) }

// load is size bytes at offset + index; index may be nil.
func (t values) load(size, offset uint32, index *value) *value {
	return t.intern(value{op: opLoad, k: offset, size: size, a: index})
}

// binary computes with constants at once. An error is what the machine would
// reject every packet for.
func (t values) binary(op valueOp, a, b *value) (*value, error) {
	if b.op == opConst {
		switch {
		case b.k == 0 && op == opDiv:
			return nil, errors.New("division by zero")
		case b.k == 0 && op == opMod:
			return nil, errors.New("modulus by zero")
		case b.k > 31 && (op == opLsh || op == opRsh):
			return nil, errors.New("shift by more than 31 bits")
		case a.op == opConst:
			return t.constant(calculate(op, a.k, b.k)), nil
		}
	}
	if a.op == opConst && op.commutes() {
		a, b = b, a // constants to the right: instructions take them there
	}
	return t.intern(value{op: op, a: a, b: b}), nil
}

// bits is of what value v has which bits: an address, and the mask of its network.
func (v *value) bits() (of *value, mask uint32) {
	if v.op == opAnd && v.b.op == opConst {
		return v.a, v.b.k
	}
	return v, math.MaxUint32
}

func (op valueOp) commutes() bool {
	return op == opAdd || op == opMul || op == opAnd || op == opOr || op == opXor
}

// calculate is BPF's arithmetic for all operators; b is not 0 for opDiv and
// opMod.
func calculate(op valueOp, a, b uint32) uint32 {
	switch op {
	case opAdd:
		return a + b
	case opSub:
		return a - b
	case opMul:
		return a * b
	case opDiv:
		return a / b
	case opMod:
		return a % b
	case opAnd:
		return a & b
	case opOr:
		return a | b
	case opXor:
		return a ^ b
	case opLsh:
		return a << b
	}
	return a >> b
}

// relop is a comparison that classic BPF can jump on.
type relop uint8

const (
	isIn relop = iota // is one of a set
	isGreater
	isAtLeast
	hasBits // has one of the bits
	isEqual // to another value; with constants it is isIn
)

func (r relop) holds(a, b uint32) bool {
	switch r {
	case isGreater:
		return a > b
	case isAtLeast:
		return a >= b
	case hasBits:
		return a&b != 0
	}
	return a == b
}
