package extract

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
)

// packet is one to be recorded, or one that was read back.
type packet struct {
	unixNano int64
	id       uint16 // IPv4 identification
	length   int
}

const begin = int64(1_795_363_200_000_000_000)

// put makes the packet's block.
func (p packet) put(b []byte) int {
	d := b[pcapng.PacketHeaderLen:][:p.length]
	rnd := rand.New(rand.NewPCG(uint64(p.id), 1))
	for i := range d {
		d[i] = byte(rnd.Uint32N(9))
	}
	copy(d, []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 10, 10, 1, 0, 20})
	binary.BigEndian.PutUint16(d[2:], uint16(p.length))
	binary.BigEndian.PutUint16(d[4:], p.id)
	return pcapng.PutPacket(b, p.length, p.length, p.unixNano)
}

// run is consecutive packets of ids from first on, a step apart.
func run(first uint16, n int, from, step int64) (packets []packet) {
	for i := range n {
		packets = append(packets, packet{from + int64(i)*step, first + uint16(i), 40 + i*13%1000})
	}
	return packets
}

// making is how a file for a test is made.
type making struct {
	form    capfile.Form
	method  capfile.Method
	window  int
	section pcapng.Section
	end     capfile.End
	counts  func(*capfile.Entry)
	cut     int  // bytes that are missing at the end
	noise   bool // the packets' payload does not compress
}

// record makes a capture file of a chunk for each of chunks.
func (m making) record(t testing.TB, chunks ...[]packet) string {
	t.Helper()
	if m.section.Application == "" {
		m.section.Application = "tunrec test"
	}
	if m.window == 0 {
		m.window = capfile.WindowBytes(0)
	}
	f := &memFile{}
	w, err := capfile.NewWriter(f, capfile.Config{Form: m.form, WindowBytes: m.window, Section: m.section})
	if err != nil {
		t.Fatal(err)
	}
	z := capfile.NewCompressor(m.window)
	noise := rand.NewChaCha8([32]byte{})
	for _, packets := range chunks {
		c := new(capfile.Chunk)
		block := make([]byte, 1<<16)
		for _, p := range packets {
			n := p.put(block)
			if m.noise {
				noise.Read(block[pcapng.PacketHeaderLen+20:][:p.length-20])
			}
			c.Content = append(c.Content, block[:n]...)
			c.Add(p.unixNano, p.length)
		}
		if m.counts != nil {
			m.counts(&c.Entry)
		}
		c.Hash()
		if m.form == capfile.Zstd {
			if err := z.Compress(c, m.method, make([]byte, 0, capfile.EncodedCap(len(c.Content)))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WriteChunk(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(m.end); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "x.pcapng")
	if err := os.WriteFile(name, f.Bytes()[:f.Len()-m.cut], 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// memFile is a capfile.File in memory.
type memFile struct{ bytes.Buffer }

func (m *memFile) Truncate(n int64) error { m.Buffer.Truncate(int(n)); return nil }

func inspect(t testing.TB, names ...string) []*File {
	t.Helper()
	files, errs := InspectAll(names)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return files
}

// extracted runs an extraction that must succeed, and returns the file.
func extracted(t testing.TB, names []string, f Format, o Options) (Result, []byte) {
	t.Helper()
	var out memFile
	result, err := Run(context.Background(), inspect(t, names...), &out, f, o)
	if err != nil {
		t.Fatal(err)
	}
	return result, out.Bytes()
}

// readBack reads the packets of a file in any form, and its statistics. What is
// wrong with it fails the test: one that has marks has to be complete.
func readBack(t testing.TB, file []byte, hasIndex bool) (packets []packet, statistics pcapng.Statistics) {
	t.Helper()
	if hasIndex {
		r, err := capfile.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if d := r.Info().Damage; d != nil {
			t.Fatal(d)
		}
		if _, err := capfile.Verify(bytes.NewReader(file), int64(len(file)), capfile.VerifyOptions{
			Problem: func(p capfile.Problem) { t.Error(p) },
		}); err != nil {
			t.Fatal(err)
		}
		for _, err := range r.Packets(Everything.From, Everything.To) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	content := io.Reader(bytes.NewReader(file))
	if binary.LittleEndian.Uint32(file) != pcapng.BlockSectionHeader {
		d, err := zstd.NewReader(content, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		content = d
	}
	sections := 0
	s := pcapng.NewScanner(content)
	for s.Next() == nil {
		if s.Type() == pcapng.BlockSectionHeader {
			sections++
		}
		if said, ok := s.Statistics(); ok {
			statistics = said
		}
		if p := s.Packet(); p != nil {
			packets = append(packets, packet{p.UnixNano, binary.BigEndian.Uint16(p.Data[4:]), len(p.Data)})
		}
	}
	if s.Err() != nil || sections != 1 {
		t.Fatalf("%d sections, %v", sections, s.Err())
	}
	return packets, statistics
}

// tool runs a program that has to be there.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s, which the test needs as a judge: %v\n%s", cmd, err, &stderr)
	}
	return string(out)
}

func save(t testing.TB, file []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "saved.pcapng")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
