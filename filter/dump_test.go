package filter

import (
	"bytes"
	"fmt"
	"testing"
)

// TestDumpAgainstTcpdump prints libpcap's own programs in all forms.
func TestDumpAgainstTcpdump(t *testing.T) {
	o := newOracle(t, corpus(1, 1))
	for _, expression := range []string{
		"", "tcp port 443", "portrange 5-7", "net 2001:db8::/33", "less 5",
		"- ip[0] * 3 / 7 + 5 - ip[1] = ip[2] % 5", "ip[0] & 5 | 3 ^ 6 << 2 >> 1 >= ip[0] << ip[2]",
		"ip[5] / ip[6] | ip[7] & ip[8] ^ ip[9] > 5", "ip protochain 6", "link[0] & 0x80 != 0",
	} {
		for _, optimised := range []string{"-O", "-t"} { // -t changes nothing
			program := programOf(t, o, expression, optimised)
			for style, flag := range map[DumpStyle]string{DumpText: "-d", DumpC: "-dd", DumpNumbers: "-ddd"} {
				want, err := o.tcpdump(t, expression, optimised, flag)
				if err != nil {
					t.Fatalf("%q: %v", expression, err)
				}
				var got bytes.Buffer
				if err := dump(&got, program, style); err != nil {
					t.Fatal(err)
				}
				if got.String() != string(want) {
					t.Errorf("%q with %s:\n%s\ntcpdump:\n%s", expression, flag, got.String(), want)
				}
			}
		}
	}
}

// TestDump has a program print itself.
func TestDump(t *testing.T) {
	p := compile(t, "less 5", Options{Snaplen: 96})
	var got bytes.Buffer
	if err := p.Dump(&got, DumpNumbers); err != nil {
		t.Fatal(err)
	}
	if want := "4\n128 0 0 0\n37 1 0 5\n6 0 0 96\n6 0 0 0\n"; got.String() != want {
		t.Errorf("%q is printed as %q", p, got.String())
	}
}

// programOf returns the program that libpcap makes.
func programOf(t *testing.T, o *oracle, expression, flag string) []Instruction {
	t.Helper()
	out, err := o.tcpdump(t, expression, flag, "-ddd")
	if err != nil {
		t.Fatalf("%q: %v", expression, err)
	}
	numbers := bytes.NewReader(out)
	var n int
	if _, err := fmt.Fscan(numbers, &n); err != nil {
		t.Fatal(err)
	}
	program := make([]Instruction, n)
	for i := range program {
		in := &program[i]
		if _, err := fmt.Fscan(numbers, &in.Op, &in.Jt, &in.Jf, &in.K); err != nil {
			t.Fatal(err)
		}
	}
	return program
}

// TestMachineOnLibpcapsPrograms runs libpcap's programs on this machine.
func TestMachineOnLibpcapsPrograms(t *testing.T) {
	packets := corpus(2, 500)
	o := newOracle(t, packets)
	for _, expression := range []string{"port 80", "- ip[8] > 0xffffff80", "ip[8] / ip[1] = 2 or len + udp[0] > 1000", "not net 10.0.0.0/8"} {
		for _, optimised := range []bool{false, true} {
			flag := map[bool]string{false: "-O", true: "-t"}[optimised]
			m, err := decode(programOf(t, o, expression, flag))
			if err != nil {
				t.Fatal(err)
			}
			want, err := o.verdicts(t, expression, optimised)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range packets {
				if got := m.run(c.data, uint32(c.origLen)) != 0; got != want[i] {
					t.Errorf("%q: packet %d: %v, tcpdump says %v", expression, i, got, want[i])
				}
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	ret := Instruction{Op: classRET}
	for name, program := range map[string][]Instruction{
		"nothing":            nil,
		"no return":          {{Op: classLD | modeLEN}},
		"a jump too far":     {{Op: classJMP | jmpJA, K: 1}, ret},
		"a jump that wraps":  {{Op: classJMP | jmpJA, K: 0xffffffff}, ret},
		"a way too far":      {{Op: classJMP | jmpJEQ, Jf: 1}, ret},
		"division by zero":   {{Op: classALU | aluDIV}, ret},
		"a far cell":         {{Op: classST, K: 16}, ret},
		"a far cell to load": {{Op: classLD | modeMEM, K: 16}, ret},
		"what is not known":  {{Op: 0xffff}, ret},
		"too much":           make([]Instruction, maxInstructions+1),
	} {
		if _, err := decode(program); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestNoAllocations holds Match to its word.
func TestNoAllocations(t *testing.T) {
	p := compile(t, twentyMixed, Options{Dialect: DialectTunrec})
	packets := corpus(1, 100)
	if n := testing.AllocsPerRun(10, func() {
		for _, c := range packets {
			p.Match(c.data, c.origLen)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
