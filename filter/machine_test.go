package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/bpf"
)

// reference builds x/net's machine for a program; nil if it does not know an
// instruction.
func reference(program []Instruction) *bpf.VM {
	known := make([]bpf.Instruction, len(program))
	for i, in := range program {
		known[i] = bpf.RawInstruction{Op: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}.Disassemble()
		switch known[i].(type) {
		case bpf.RawInstruction, bpf.NegateA: // the latter is known there, but not to the machine
			return nil
		}
		if _, extension := known[i].(bpf.LoadExtension); extension && in.Op != classLD|modeLEN {
			return nil // Linux's meaning of very large offsets; or a length into X, which it loads into A
		}
	}
	vm, err := bpf.NewVM(known)
	if err != nil {
		return nil
	}
	return vm
}

// TestMachineAgainstXNet runs the programs of random expressions here and on
// x/net's machine. That one has no length but the captured one.
func TestMachineAgainstXNet(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	packets := corpus(3, 300)
	programs, accepted := 0, 0
	for range 1000 {
		expression := randomExpression(r)
		p, err := Compile(expression, Options{Dialect: Dialect(r.IntN(2))})
		if err != nil {
			continue
		}
		vm := reference(p.Instructions())
		if vm == nil {
			t.Fatalf("%q: x/net does not know the program", expression)
		}
		programs++
		for i, c := range packets {
			want, err := vm.Run(c.data)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Match(c.data, len(c.data)); got != (want != 0) {
				t.Fatalf("%q: packet %d: %v here, %d in x/net", expression, i, got, want)
			}
			if want != 0 {
				accepted++
			}
		}
	}
	if programs < 500 || accepted < 10000 {
		t.Errorf("%d programs that accepted %d packets say too little", programs, accepted)
	}
}

// TestOptimizeKeepsVerdicts runs each program as optimized and as generated.
func TestOptimizeKeepsVerdicts(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	packets := corpus(4, 300)
	for range 1000 {
		expression := randomExpression(r)
		o := Options{Dialect: Dialect(r.IntN(2))}
		tree, err := parse(expression, o)
		if err != nil {
			continue
		}
		root, err := generate(tree, o)
		if err != nil {
			continue
		}
		plain := assemble(t, unmark(root))
		root, err = generate(tree, o)
		if err != nil {
			t.Fatal(err)
		}
		optimized := assemble(t, optimize(root))
		for i, c := range packets {
			want, got := plain.run(c.data, uint32(c.origLen)), optimized.run(c.data, uint32(c.origLen))
			if want != got {
				t.Fatalf("%q: packet %d: %d as generated, %d as optimized", expression, i, want, got)
			}
		}
	}
}

// TestOptimizeKnowsBits asks for some bits of a byte and then for others, which may
// follow from the first, or may not be.
func TestOptimizeKnowsBits(t *testing.T) {
	masks, numbers := []int{0, 0x0f, 0xf0, 0xf8, 0xff}, []int{0, 1, 0x10, 0x18, 0x1f}
	packet := append([]byte{0x45}, make([]byte, 19)...)
	never := 0
	for _, a := range masks {
		for _, b := range masks {
			for _, k := range numbers {
				for _, l := range numbers {
					expression := fmt.Sprintf("ip[1] & %d = %d and ip[1] & %d = %d", a, k, b, l)
					p, err := Compile(expression, Options{})
					if err != nil && !errors.Is(err, ErrRejectsAll) {
						t.Fatal(err)
					}
					matches := false
					for c := range 256 {
						packet[1] = byte(c)
						want := c&a == k && c&b == l
						matches = matches || want
						if got := err == nil && p.Match(packet, len(packet)); got != want {
							t.Fatalf("%s: %#x: %t", expression, c, got)
						}
					}
					if !matches && err != nil {
						never++
					}
				}
			}
		}
	}
	if never < 250 {
		t.Errorf("only %d expressions are known to match nothing", never)
	}
}

func assemble(t *testing.T, root *node) *machine {
	t.Helper()
	raw, err := emit(root, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestOriginalLength has programs ask for the length on the wire.
func TestOriginalLength(t *testing.T) {
	p := compile(t, "len = 1500 and less 1500 and greater 1500", Options{})
	if !p.Match([]byte{0x45}, 1500) || p.Match(make([]byte, 1500), 1501) {
		t.Error("len is not the packet's length on the wire")
	}
}

// TestLongJumps has programs whose ways are farther than a conditional jump
// reaches, in both directions of the test.
func TestLongJumps(t *testing.T) {
	packets := corpus(5, 300)
	long := "host 9.0.0.0"
	for i := range 100 {
		long += fmt.Sprintf(" or src 9.0.0.%d or udp dst port %d", i, 2000+i)
	}
	for _, expression := range []string{long, "not (" + long + ")", "(" + long + ") and (" + long + " or port 1)"} {
		p := compile(t, expression, Options{})
		if len(p.Instructions()) < 300 {
			t.Errorf("the program of %d instructions is too short to test anything", len(p.Instructions()))
		}
		vm := reference(p.Instructions())
		for i, c := range packets {
			want, err := vm.Run(c.data)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Match(c.data, len(c.data)); got != (want != 0) {
				t.Fatalf("packet %d: %v here, %d in x/net", i, got, want)
			}
		}
	}
}

func compile(t testing.TB, expression string, o Options) *Program {
	t.Helper()
	p, err := Compile(expression, o)
	if err != nil {
		t.Fatalf("%q: %v", expression, err)
	}
	return p
}

// FuzzMachine runs any program that both machines take.
func FuzzMachine(f *testing.F) {
	for _, expression := range []string{"tcp port 443", "ip[0] / ip[1] << ip[2] = 5", "portrange 5-7", "net 2001:db8::/33"} {
		var code []byte
		for _, in := range compile(f, expression, Options{}).Instructions() {
			code = binary.BigEndian.AppendUint16(code, in.Op)
			code = binary.BigEndian.AppendUint32(append(code, in.Jt, in.Jf), in.K)
		}
		f.Add(code, corpus(6, 1)[0].data)
	}
	f.Fuzz(func(t *testing.T, code, packet []byte) {
		var program []Instruction
		for ; len(code) >= 8; code = code[8:] {
			program = append(program, Instruction{binary.BigEndian.Uint16(code), code[2], code[3], binary.BigEndian.Uint32(code[4:])})
		}
		m, err := decode(program)
		if err != nil {
			return
		}
		got := m.run(packet, uint32(len(packet)))
		vm := reference(program)
		if vm == nil {
			return
		}
		want, err := vm.Run(packet)
		if err != nil {
			t.Fatal(err)
		}
		if int(got) != want {
			t.Errorf("%d here, %d in x/net", got, want)
		}
	})
}
