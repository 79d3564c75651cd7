package filter

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

// go test -run Golden -update asks tcpdump for all verdicts again.
var update = flag.Bool("update", false, "write testdata/filter anew, with the verdicts of the installed tcpdump")

const (
	goldenTable  = "../testdata/filter/golden.txt"
	goldenCorpus = "../testdata/filter/corpus.pcap"
)

// TestGolden compares with the verdicts of libpcap 1.10.3 in testdata/filter;
// its README tells the format.
func TestGolden(t *testing.T) {
	table, err := os.ReadFile(goldenTable)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		table = updateGolden(t, string(table))
	}
	packets := readCorpus(t)
	lines := strings.Split(strings.TrimSuffix(string(table), "\n"), "\n")
	if len(lines) < 200 {
		t.Errorf("the table has %d expressions, not 200", len(lines))
	}
	for _, line := range lines {
		want, expression, _ := strings.Cut(line, "\t")
		program, err := Compile(expression, Options{})
		if err != nil {
			matchesNothing := errors.Is(err, ErrRejectsAll) && strings.Trim(want, "0") == ""
			if want != "refused" && !matchesNothing {
				t.Errorf("%q: %v", expression, err)
			}
			continue
		}
		if got := pack(verdictsOf(program, packets)); got != want {
			t.Errorf("%q:\n  here    %s\n  libpcap %s", expression, got, want)
		}
	}
}

func verdictsOf(p *Program, packets []captured) []bool {
	out := make([]bool, len(packets))
	for i, c := range packets {
		out[i] = p.Match(c.data, c.origLen)
	}
	return out
}

// pack writes verdicts as hexadecimal digits, the first packet's in the
// highest bit of the first one.
func pack(verdicts []bool) string {
	b := make([]byte, (len(verdicts)+7)/8)
	for i, accepted := range verdicts {
		if accepted {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	return hex.EncodeToString(b)
}

func updateGolden(t *testing.T, table string) []byte {
	t.Helper()
	o := newOracle(t, corpus(7, 512))
	content, err := os.ReadFile(o.file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(table) {
		_, expression, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		verdicts, err := o.verdicts(t, expression, false)
		answer := "refused"
		if err == nil {
			answer = pack(verdicts)
		}
		b.WriteString(answer + "\t" + expression + "\n")
	}
	for path, content := range map[string][]byte{goldenTable: []byte(b.String()), goldenCorpus: content} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []byte(b.String())
}

func readCorpus(t testing.TB) []captured {
	t.Helper()
	b, err := os.ReadFile(goldenCorpus)
	if err != nil {
		t.Fatal(err)
	}
	var packets []captured
	for b = b[24:]; len(b) > 0; {
		n := 16 + binary.LittleEndian.Uint32(b[8:])
		packets = append(packets, captured{b[16:n], int(binary.LittleEndian.Uint32(b[12:]))})
		b = b[n:]
	}
	return packets
}
