package filter

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// FuzzCompile compiles anything, in both dialects, and runs what comes out.
func FuzzCompile(f *testing.F) {
	table, err := os.ReadFile(goldenTable)
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		_, expression, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		f.Add(expression)
	}
	r := rand.New(rand.NewPCG(8, 8))
	for range 100 {
		f.Add(randomExpression(r))
	}
	packets := corpus(8, 20)
	f.Fuzz(func(t *testing.T, expression string) {
		for _, dialect := range []Dialect{DialectLibpcap, DialectTunrec} {
			p, err := Compile(expression, Options{Dialect: dialect})
			if err != nil {
				checkError(t, err)
				continue
			}
			program := p.Instructions()
			if len(program) > maxInstructions {
				t.Fatalf("%d instructions", len(program))
			}
			checkJumps(t, program)
			if _, err := decode(program); err != nil {
				t.Fatal(err)
			}
			vm := reference(program)
			if vm == nil {
				t.Fatal("x/net does not know the program")
			}
			for i, c := range packets {
				want, err := vm.Run(c.data)
				if err != nil {
					t.Fatal(err)
				}
				if got := p.Match(c.data, len(c.data)); got != (want != 0) {
					t.Fatalf("packet %d: %v here, %d in x/net", i, got, want)
				}
			}
			if p.Explain() == "" {
				t.Error("no explanation")
			}
		}
	})
}

// checkJumps has every way through the program lead forward to a return: so it
// ends.
func checkJumps(t *testing.T, program []Instruction) {
	t.Helper()
	for at, in := range program {
		ways := []uint32{0}
		switch {
		case in.Op&7 == classRET:
			continue
		case in.Op == classJMP|jmpJA:
			ways = []uint32{in.K}
		case in.Op&7 == classJMP:
			ways = []uint32{uint32(in.Jt), uint32(in.Jf)}
		}
		for _, over := range ways {
			if over >= uint32(len(program)-at-1) {
				t.Fatalf("instruction %d of %d, %q, leads out of the program", at, len(program), in.text(at))
			}
		}
	}
}

// checkError has an error show its place.
func checkError(t *testing.T, err error) {
	t.Helper()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		if !errors.Is(err, ErrRejectsAll) && !strings.Contains(err.Error(), "bytes, more than") {
			t.Errorf("error of no known kind: %v", err)
		}
		return
	}
	if strings.Contains(syntax.Error(), "\n") {
		t.Errorf("the error has more than one line: %q", syntax.Error())
	}
	lines := strings.Split(syntax.Caret(), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[1], "^") || len([]rune(lines[1])) > len([]rune(lines[0]))+1 {
		t.Errorf("the mark is not within the expression: %q", lines)
	}
}
