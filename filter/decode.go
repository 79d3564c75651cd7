package filter

import (
	"errors"
	"fmt"
)

// The machine runs operations that are decoded from classic BPF, one for each
// instruction. Dispatching an operation takes longer than doing it; so some do
// at once what the instructions behind them do, and lead past those.

type opcode uint8

const (
	// Loads from the packet, at k or at X + k: A = bytes & mask. They go on to
	// yes if A is key, to no if not. A mere load has the mask that changes
	// nothing and both ways lead to the next operation.
	doB opcode = iota
	doH
	doW
	doBX
	doHX
	doWX
	// A halfword and "if A & key != 0": IPv4's fragment offset.
	doHSet

	doImm
	doLen
	doMem
	doImmX
	doLenX
	doMemX
	doIHL // X = 4 × (byte at k & 15)
	doStore
	doStoreX

	doALU  // A = A (arithmetic) k
	doALUX // A = A (arithmetic) X
	doNeg

	doJump
	doEq
	doIn // A is one of keys[k:key]: a row of doEq that all lead to yes
	doGt
	doGe
	doSet
	doEqX
	doGtX
	doGeX
	doSetX

	doReturn
	doReturnA
	doTAX
	doTXA
)

// machine is a decoded program.
type machine struct {
	ops  []op
	keys []uint32 // K of every instruction, for doIn
}

// op is one operation. Jumps hold places, not distances.
type op struct {
	do         opcode
	arithmetic valueOp
	yes, no    uint16
	k          uint32
	mask, key  uint32
}

// decode checks a program and turns it into operations: it must end in
// returns, and jump within itself.
func decode(program []Instruction) (*machine, error) {
	if len(program) == 0 || len(program) > maxInstructions {
		return nil, fmt.Errorf("a program of %d instructions is not within 1 to %d", len(program), maxInstructions)
	}
	m := &machine{ops: make([]op, len(program)), keys: make([]uint32, len(program))}
	for at, in := range program {
		o, err := in.decode(at)
		if err == nil && max(int(o.yes), int(o.no)) >= len(program) {
			err = errors.New("leads behind the end of the program")
		}
		if err != nil {
			return nil, fmt.Errorf("instruction %d, %q: %w", at, in.text(at), err)
		}
		m.ops[at], m.keys[at] = o, in.K
	}
	for at := range m.ops {
		m.fuseLoad(at)
	}
	for at := len(m.ops) - 2; at >= 0; at-- {
		m.fuseTests(at)
	}
	return m, nil
}

// fuseLoad has a load do the mask and the test behind it.
func (m *machine) fuseLoad(at int) {
	load := &m.ops[at]
	if load.do > doWX {
		return
	}
	mask, behind := load.mask, m.ops[at+1:]
	if masking := behind[0]; masking.do == doALU && masking.arithmetic == opAnd {
		mask, behind = masking.k, behind[1:]
	}
	switch test := behind[0]; {
	case test.do == doEq:
		load.mask, load.key, load.yes, load.no = mask, test.k, test.yes, test.no
	case test.do == doSet && load.do == doH && mask == load.mask:
		load.do, load.key, load.yes, load.no = doHSet, test.k, test.yes, test.no
	}
}

// fuseTests has a test for equality do the ones behind it that lead to the
// same place.
func (m *machine) fuseTests(at int) {
	test, next := &m.ops[at], m.ops[at+1]
	if test.do != doEq || test.yes != next.yes || int(test.no) != at+1 {
		return
	}
	end := uint32(at + 2)
	switch next.do {
	case doEq:
	case doIn:
		end = next.key
	default:
		return
	}
	test.do, test.k, test.key, test.no = doIn, uint32(at), end, next.no
}

// decode translates one instruction. Those that are no jump go on to the next.
func (in Instruction) decode(at int) (op, error) {
	o := op{k: in.K, key: in.K, mask: ^uint32(0), yes: uint16(at + 1), no: uint16(at + 1)}
	var known bool
	switch in.Op & 7 {
	case classJMP:
		return o, o.decodeJump(in, at)
	case classALU:
		return o, o.decodeALU(in)
	case classRET:
		o.do, known = doReturn, in.Op == classRET
		if in.Op == classRET|retA {
			o.do, known = doReturnA, true
		}
		o.yes, o.no = 0, 0
	case classST, classSTX:
		o.do, known = doStore, in.Op&^7 == 0 && in.K < scratchCells
		if in.Op&7 == classSTX {
			o.do = doStoreX
		}
	case classMISC:
		o.do, known = doTAX, in.Op == classMISC|miscTAX
		if in.Op == classMISC|miscTXA {
			o.do, known = doTXA, true
		}
	default:
		o.do, known = loads[in.Op]
		if in.Op&0xe0 == modeMEM && in.K >= scratchCells {
			known = false
		}
	}
	if !known {
		return o, fmt.Errorf("operation %#x is not known", in.Op)
	}
	return o, nil
}

var loads = map[uint16]opcode{
	classLD | sizeB | modeABS: doB, classLD | sizeB | modeIND: doBX,
	classLD | sizeH | modeABS: doH, classLD | sizeH | modeIND: doHX,
	classLD | sizeW | modeABS: doW, classLD | sizeW | modeIND: doWX,
	classLD | modeIMM: doImm, classLD | modeLEN: doLen, classLD | modeMEM: doMem,
	classLDX | modeIMM: doImmX, classLDX | modeLEN: doLenX, classLDX | modeMEM: doMemX,
	classLDX | sizeB | modeMSH: doIHL,
}

var tested = map[uint16]opcode{
	classJMP | jmpJEQ: doEq, classJMP | jmpJEQ | srcX: doEqX,
	classJMP | jmpJGT: doGt, classJMP | jmpJGT | srcX: doGtX,
	classJMP | jmpJGE: doGe, classJMP | jmpJGE | srcX: doGeX,
	classJMP | jmpJSET: doSet, classJMP | jmpJSET | srcX: doSetX,
}

func (o *op) decodeJump(in Instruction, at int) error {
	do, known := tested[in.Op]
	switch {
	case known:
		o.do, o.yes, o.no = do, uint16(at+1+int(in.Jt)), uint16(at+1+int(in.Jf))
	case in.Op == classJMP|jmpJA && in.K < maxInstructions:
		o.do, o.yes, o.no = doJump, uint16(at+1+int(in.K)), uint16(at+1+int(in.K))
	default:
		return fmt.Errorf("jump %#x is not known, or too far", in.Op)
	}
	return nil
}

func (o *op) decodeALU(in Instruction) error {
	if in.Op == classALU|aluNEG {
		o.do = doNeg
		return nil
	}
	o.do = doALU
	if in.Op&srcX != 0 {
		o.do = doALUX
	}
	for arithmetic := opAdd; arithmetic <= opRsh; arithmetic++ {
		if in.Op&^srcX != classALU|aluOps[arithmetic] {
			continue
		}
		o.arithmetic = arithmetic
		if in.K == 0 && o.do == doALU && (arithmetic == opDiv || arithmetic == opMod) {
			return errors.New("division by zero")
		}
		return nil
	}
	return fmt.Errorf("operation %#x is not known", in.Op)
}
