package filter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// oracle asks tcpdump what libpcap makes of an expression.
type oracle struct {
	file  string
	count int
}

// newOracle writes the packets to a file of LINKTYPE_RAW, with the number of
// each one in its timestamp.
func newOracle(t testing.TB, packets []captured) *oracle {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("verdicts are compared with those of tcpdump on Linux")
	}
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Fatalf("tcpdump is needed for this test (apt-get install tcpdump): %v", err)
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, DefaultSnaplen)
	b = le.AppendUint32(b, 101) // LINKTYPE_RAW
	for i, p := range packets {
		b = le.AppendUint32(b, uint32(i))
		b = le.AppendUint32(b, 0)
		b = le.AppendUint32(b, uint32(len(p.data)))
		b = le.AppendUint32(b, uint32(p.origLen))
		b = append(b, p.data...)
	}
	file := filepath.Join(t.TempDir(), "corpus.pcap")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return &oracle{file, len(packets)}
}

// errRefused is what libpcap says against an expression.
type errRefused struct{ message string }

func (e errRefused) Error() string { return e.message }

// tcpdump runs tcpdump on the corpus.
func (o *oracle) tcpdump(t testing.TB, expression string, flags ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	args := append([]string{"-n", "-r", o.file}, flags...)
	cmd := exec.CommandContext(ctx, "tcpdump", append(args, "--", expression)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, errRefused{"it does not come to an end"} // libpcap loops on some protochains
	case errors.As(err, &exit) && exit.Exited():
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, errRefused{strings.TrimPrefix(lines[len(lines)-1], "tcpdump: ")}
	case err != nil:
		t.Fatalf("tcpdump %q: %v: %s", expression, err, stderr.String())
	}
	return out, nil
}

// verdicts returns libpcap's verdict on every packet, of the optimised program
// or of the one that the optimiser has not touched.
func (o *oracle) verdicts(t testing.TB, expression string, optimised bool) ([]bool, error) {
	t.Helper()
	flags := []string{"-w", "-"}
	if !optimised {
		flags = append(flags, "-O")
	}
	out, err := o.tcpdump(t, expression, flags...)
	if err != nil {
		return nil, err
	}
	accepted := make([]bool, o.count)
	for out = out[24:]; len(out) > 0; {
		accepted[binary.LittleEndian.Uint32(out)] = true
		out = out[16+binary.LittleEndian.Uint32(out[8:]):]
	}
	return accepted, nil
}

func mustAddr(s string) []byte { return netip.MustParseAddr(s).AsSlice() }
