package filter

import (
	"bufio"
	"fmt"
	"io"
)

// Instruction is one of classic BPF (bpf(4), linux/filter.h): a struct
// sock_filter. Jt and Jf are how many instructions a conditional jump skips.
type Instruction struct {
	Op     uint16
	Jt, Jf uint8
	K      uint32
}

// Op is a class, and what the class is about (bpf(4)).
const (
	classLD   = 0x00
	classLDX  = 0x01
	classST   = 0x02
	classSTX  = 0x03
	classALU  = 0x04
	classJMP  = 0x05
	classRET  = 0x06
	classMISC = 0x07

	sizeW = 0x00
	sizeH = 0x08
	sizeB = 0x10

	modeIMM = 0x00
	modeABS = 0x20
	modeIND = 0x40
	modeMEM = 0x60
	modeLEN = 0x80
	modeMSH = 0xa0

	srcK = 0x00
	srcX = 0x08

	aluADD = 0x00
	aluSUB = 0x10
	aluMUL = 0x20
	aluDIV = 0x30
	aluOR  = 0x40
	aluAND = 0x50
	aluLSH = 0x60
	aluRSH = 0x70
	aluNEG = 0x80
	aluMOD = 0x90
	aluXOR = 0xa0

	jmpJA   = 0x00
	jmpJEQ  = 0x10
	jmpJGT  = 0x20
	jmpJGE  = 0x30
	jmpJSET = 0x40

	retA    = 0x10
	miscTAX = 0x00
	miscTXA = 0x80
)

// scratchCells is the number of cells of scratch memory, M[0] to M[15].
const scratchCells = 16

// DumpStyle is a form of printing a program.
type DumpStyle uint8

const (
	DumpText    DumpStyle = iota // for people: tcpdump -d
	DumpC                        // for C programs: tcpdump -dd
	DumpNumbers                  // for other programs: tcpdump -ddd
)

// Dump prints the program in one of tcpdump's forms.
func (p *Program) Dump(w io.Writer, style DumpStyle) error {
	return dump(w, p.raw, style)
}

func dump(w io.Writer, program []Instruction, style DumpStyle) error {
	out := bufio.NewWriter(w)
	if style == DumpNumbers {
		fmt.Fprintln(out, len(program))
	}
	for at, in := range program {
		switch style {
		case DumpNumbers:
			fmt.Fprintf(out, "%d %d %d %d\n", in.Op, in.Jt, in.Jf, in.K)
		case DumpC:
			fmt.Fprintf(out, "{ 0x%x, %d, %d, 0x%08x },\n", in.Op, in.Jt, in.Jf, in.K)
		default:
			fmt.Fprintln(out, in.text(at))
		}
	}
	return out.Flush()
}

// text returns the instruction as tcpdump -d prints it at a place.
func (in Instruction) text(at int) string {
	name, operand := in.assembler(at)
	if in.Op&7 == classJMP && in.Op&0xf0 != jmpJA {
		return fmt.Sprintf("(%03d) %-8s %-16s jt %d\tjf %d", at, name, operand, at+1+int(in.Jt), at+1+int(in.Jf))
	}
	return fmt.Sprintf("(%03d) %-8s %s", at, name, operand)
}

func (in Instruction) assembler(at int) (name, operand string) {
	immediate := fmt.Sprintf("#0x%x", in.K)
	either := immediate
	if in.Op&srcX != 0 {
		either = "x"
	}
	switch in.Op & 7 {
	case classLD, classLDX:
		return in.loading()
	case classST:
		return "st", fmt.Sprintf("M[%d]", in.K)
	case classSTX:
		return "stx", fmt.Sprintf("M[%d]", in.K)
	case classALU:
		name := map[uint16]string{aluADD: "add", aluSUB: "sub", aluMUL: "mul", aluDIV: "div", aluOR: "or",
			aluAND: "and", aluLSH: "lsh", aluRSH: "rsh", aluNEG: "neg", aluMOD: "mod", aluXOR: "xor"}[in.Op&0xf0]
		switch {
		case in.Op&0xf0 == aluNEG:
			return name, ""
		case in.Op&srcX == 0 && in.Op&0xf0 != aluAND && in.Op&0xf0 != aluOR && in.Op&0xf0 != aluXOR:
			return name, fmt.Sprintf("#%d", in.K)
		}
		return name, either
	case classJMP:
		if in.Op&0xf0 == jmpJA {
			return "ja", fmt.Sprint(uint32(at) + 1 + in.K) // libpcap goes back, too: it wraps
		}
		return map[uint16]string{jmpJEQ: "jeq", jmpJGT: "jgt", jmpJGE: "jge", jmpJSET: "jset"}[in.Op&0xf0], either
	case classRET:
		if in.Op&retA != 0 {
			return "ret", ""
		}
		return "ret", fmt.Sprintf("#%d", in.K)
	}
	if in.Op&miscTXA != 0 {
		return "txa", ""
	}
	return "tax", ""
}

func (in Instruction) loading() (name, operand string) {
	name = map[uint16]string{sizeW: "ld", sizeH: "ldh", sizeB: "ldb"}[in.Op&0x18]
	if in.Op&7 == classLDX {
		name = "ldx"
	}
	switch in.Op & 0xe0 {
	case modeIMM:
		return name, fmt.Sprintf("#0x%x", in.K)
	case modeABS:
		return name, fmt.Sprintf("[%d]", in.K)
	case modeIND:
		return name, fmt.Sprintf("[x + %d]", in.K)
	case modeMEM:
		return name, fmt.Sprintf("M[%d]", in.K)
	case modeLEN:
		return name, "#pktlen"
	}
	return "ldxb", fmt.Sprintf("4*([%d]&0xf)", in.K)
}
