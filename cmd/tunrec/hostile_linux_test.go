//go:build !race

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
)

// TestHostileMemory reads files that are made to take memory, with every
// command that reads files from strangers, as on a machine of many processors.
func TestHostileMemory(t *testing.T) {
	commands := map[string][]string{
		"info":    {"info"},
		"verify":  {"verify", "-q"},
		"repair":  {"repair", "-o", "out.pcapng"},
		"slice":   {"slice", "-q", "--from", "-20s", "-o", "out.pcapng", "tcp", "or", "not", "tcp"},
		"part":    {"slice", "-q", "--from", "-1000s", "--compress", "zstd:better", "-o", "out.pcapng"},
		"cat":     {"cat", "-q"},
		"convert": {"convert", "-q", "-o", "out.pcapng", "--frames"},
	}
	for name, write := range hostileFiles {
		file := filepath.Join(t.TempDir(), "hostile")
		if err := writeFile(file, write); err != nil {
			t.Fatal(err)
		}
		for verb, args := range commands {
			readHostile(t, verb+" of "+name, append(args, file)...)
		}
	}
}

// readHostile runs a command that has to stay below 256 MB. It returns whether
// it succeeded, and what it printed about errors.
func readHostile(t *testing.T, what string, args ...string) (ok bool, stderr string) {
	t.Helper()
	const limit = 256 << 10 // KiB
	cmd := exec.Command("tunrec", args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOMAXPROCS=32")
	cmd.Stdout = struct{ io.Writer }{io.Discard} // a pipe, not a file
	var errs strings.Builder
	cmd.Stderr = &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || !exit.Exited() || strings.Contains(errs.String(), "panic")) {
		t.Errorf("%s: %v: %s", what, err, &errs)
		return false, errs.String()
	}
	// What this process takes counts, too: the other one begins as it.
	taken := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if t.Logf("%s: %d MiB, %v", what, taken>>10, cmd.ProcessState); taken > limit {
		t.Errorf("%s took %d MiB of memory", what, taken>>10)
	}
	os.RemoveAll(cmd.Dir) // for its space; what is left is removed with the test
	return err == nil, errs.String()
}

// TestHostileTogether reads directories of files that take much memory each:
// one after the other they can be read, all at once they are refused.
func TestHostileTogether(t *testing.T) {
	const refused = "tunrec: error: files have packets of the same time, and it takes more than "
	for _, c := range []struct {
		apart int // seconds between their first packets; each has packets for 100 s
		args  []string
		says  string
	}{
		{1, []string{"cat", "-q"}, refused},
		{1, []string{"slice", "-q", "-o", "out.pcapng"}, refused},
		{1, []string{"info"}, ""},
		{1000, []string{"cat", "-q"}, ""},
	} {
		dir := t.TempDir()
		for i := range 3 {
			err := writeFile(filepath.Join(dir, strconv.Itoa(i)), func(w io.Writer) error {
				return writeWide(w, uint32(1e9+i*c.apart))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		ok, stderr := readHostile(t, c.args[0]+" of wide windows", append(c.args, dir)...)
		if ok != (c.says == "") || !ok && (strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, c.says)) {
			t.Errorf("%s of files %d s apart: %v, %s", c.args[0], c.apart, ok, stderr)
		}
	}
}

// writeWide writes a pcap whose zstd frame has a window of 128 MiB, all of which
// is used: a packet, empty records, and 4 MiB of packets, 100 s long.
func writeWide(w io.Writer, second uint32) error {
	record := func(at uint32, length int) []byte {
		b := binary.LittleEndian.AppendUint32(nil, at)
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(length))
		b = binary.LittleEndian.AppendUint32(b, uint32(length))
		return append(b, append([]byte{0x45}, make([]byte, length-1)...)...)
	}
	raw := func(b, content []byte) []byte {
		n := len(content)
		return append(append(b, byte(n<<3), byte(n>>5), byte(n>>13)), content...)
	}
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3} // RFC 8878 §3.1.1.1.2
	b = raw(b, append(pcapHeader(), record(second, 100)...))
	for range 1100 { // 128 KiB each: empty records
		b = append(b, 1<<1, 0, 128<<10>>13, 0)
	}
	for i := range 100 {
		b = raw(b, record(second+uint32(i), 40_000))
	}
	_, err := w.Write(append(b, 1, 0, 0))
	return err
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// hostileFiles are what somebody could send. What is large is written in pieces
// and stays small on disk, as far as it can be.
var hostileFiles = map[string]func(io.Writer) error{
	"largest chunks": func(w io.Writer) error {
		return writeChunks(w, capfile.Zstd, capfile.Fastest, 24, 0)
	},
	"largest stored chunks": func(w io.Writer) error {
		return writeChunks(w, capfile.Zstd, capfile.Stored, 4, capfile.MaxChunkLen)
	},
	"largest plain chunks": func(w io.Writer) error {
		return writeChunks(w, capfile.Plain, capfile.Stored, 4, capfile.MaxChunkLen)
	},
	"chunks with a part of any range": func(w io.Writer) error {
		const part = capfile.MaxChunkLen / 20 // which is slow to compress
		return writeStamped(w, capfile.Zstd, capfile.Fastest, 40, part, func(chunk, at int) int64 {
			if at > part {
				return 1e9
			}
			return 5000e9 + int64(chunk)*1e9
		})
	},
	"index that claims 4 GiB": func(w io.Writer) error {
		var b bytes.Buffer
		if err := writeChunks(&b, capfile.Plain, capfile.Stored, 1, 0); err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(b.Bytes()[b.Len()-4:], 0xfffffff0)
		_, err := w.Write(b.Bytes())
		return err
	},
	"largest window of RLE blocks": func(w io.Writer) error {
		head := pcapHeader()
		b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3} // window of 128 MiB (RFC 8878 §3.1.1.1.2)
		b = append(b, byte(len(head)<<3), byte(len(head)>>5), 0)
		b = append(b, head...)
		for range 1300 { // 128 KiB each: empty records, more than the window holds
			b = append(b, 1<<1, 0, 128<<10>>13, 0)
		}
		_, err := w.Write(append(b, 1, 0, 0))
		return err
	},
	"gzip bomb": func(w io.Writer) error {
		z := gzip.NewWriter(w)
		record := binary.LittleEndian.AppendUint32(make([]byte, 8, 64<<10), 64<<10-16)
		record = append(binary.LittleEndian.AppendUint32(record, 64<<10-16), 0x45)
		return errors.Join(writeBomb(z, pcapHeader(), record[:cap(record)], 5<<10), z.Close())
	},
	"interfaces without end": func(w io.Writer) error {
		idb := binary.LittleEndian.AppendUint32(nil, 1) // an Interface Description Block
		idb = append(idb, 20, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0)
		return writeZstd(w, sectionHeader(nil), bytes.Repeat(idb, 50_000), 100)
	},
	"comments of 16 MiB": func(w io.Writer) error {
		comment := append([]byte{1, 0, 0xfc, 0xff}, bytes.Repeat([]byte{'x'}, 0xfffc)...)
		return writeZstd(w, nil, sectionHeader(bytes.Repeat(comment, 255)), 8)
	},
	"blocks of 16 MiB": func(w io.Writer) error {
		b := make([]byte, 16<<20)
		binary.LittleEndian.PutUint32(b, 0x0bad)
		binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
		binary.LittleEndian.PutUint32(b[len(b)-4:], uint32(len(b)))
		return writeZstd(w, sectionHeader(nil), b, 16)
	},
	"packet of 4 GiB": func(w io.Writer) error {
		b := sectionHeader(nil)
		b = append(b, 1, 0, 0, 0, 20, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0)
		b = append(b, 6, 0, 0, 0, 64, 0, 0, 0)                                    // Enhanced Packet Block
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff) // captured length
		b = append(b, make([]byte, 64-24-4)...)
		_, err := w.Write(append(b, 64, 0, 0, 0))
		return err
	},
	"record of 4 GiB": func(w io.Writer) error {
		b := append(pcapHeader(), 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		_, err := w.Write(append(b, make([]byte, 1<<20)...))
		return err
	},
}

// writeChunks writes a capture of the longest chunks there can be, with so much that
// compresses badly in each.
func writeChunks(w io.Writer, form capfile.Form, m capfile.Method, chunks, noise int) error {
	return writeStamped(w, form, m, chunks, noise, func(chunk, _ int) int64 { return int64(chunk+1) * 1e9 })
}

// writeStamped does so with packets of any time: of that at a byte of a chunk.
func writeStamped(w io.Writer, form capfile.Form, m capfile.Method, chunks, noise int, stamp func(chunk, at int) int64) error {
	out, err := capfile.NewWriter(growing{w}, capfile.Config{Form: form, WindowBytes: 8 << 20})
	if err != nil {
		return err
	}
	z := capfile.NewCompressor(8 << 20)
	const packet = 200_000
	for i := range chunks {
		c := &capfile.Chunk{Content: make([]byte, capfile.MaxChunkLen)}
		at := 0
		for at+packet+pcapng.PacketOverhead <= len(c.Content) {
			block := c.Content[at:]
			block[pcapng.PacketHeaderLen] = 0x45
			if at < noise {
				r := rand.New(rand.NewPCG(uint64(at), uint64(i)))
				for j := 20; j < packet; j += 8 {
					binary.LittleEndian.PutUint64(block[pcapng.PacketHeaderLen+j:], r.Uint64()&0x0f0f0f0f0f0f0f0f)
				}
			}
			stamp := stamp(i, at)
			at += pcapng.PutPacket(block, packet, packet, stamp)
			c.Add(stamp, packet)
		}
		c.Content = c.Content[:at]
		if c.Hash(); form == capfile.Zstd {
			if err := z.Compress(c, m, make([]byte, 0, capfile.EncodedCap(at))); err != nil {
				return err
			}
		}
		if err := out.WriteChunk(c); err != nil {
			return err
		}
	}
	return out.Close(capfile.End{})
}

// growing is a capfile.File that is only written.
type growing struct{ io.Writer }

func (growing) Truncate(int64) error { return errors.ErrUnsupported }

func writeZstd(w io.Writer, head, again []byte, times int) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	return errors.Join(writeBomb(z, head, again, times), z.Close())
}

func writeBomb(w io.Writer, head, again []byte, times int) error {
	_, err := w.Write(head)
	for range times {
		if err == nil {
			_, err = w.Write(again)
		}
	}
	return err
}

// sectionHeader is a pcapng Section Header Block with these options.
func sectionHeader(options []byte) []byte {
	le := binary.LittleEndian
	length := uint32(28 + len(options))
	b := le.AppendUint32(nil, 0x0a0d0d0a)
	b = le.AppendUint32(b, length)
	b = le.AppendUint32(b, 0x1a2b3c4d)
	b = append(b, 1, 0, 0, 0)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	return le.AppendUint32(append(b, options...), length)
}
