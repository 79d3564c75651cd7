package capfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/tunrec/tunrec/internal/zstdblock/blocktest"
	"github.com/tunrec/tunrec/pcapng"
)

// faultyFile is a File whose nth write fails after some bytes, and that can
// refuse to be cut back.
type faultyFile struct {
	memFile
	failing  bool // once
	partial  int  // bytes that are written before
	lies     bool // it says that none were
	truncErr error
}

var errFull = errors.New("no space left on device")

func (f *faultyFile) Write(b []byte) (int, error) {
	if f.failing && len(b) > f.partial {
		f.failing = false
		n, _ := f.memFile.Write(b[:f.partial])
		if f.lies {
			n = 0
		}
		return n, errFull
	}
	f.partial -= len(b)
	return f.memFile.Write(b)
}

func (f *faultyFile) Truncate(n int64) error {
	if f.truncErr != nil {
		return f.truncErr
	}
	return f.memFile.Truncate(n)
}

// readable returns how many packets can be had from a file that may have been
// cut short, and whether it is whole.
func readable(t *testing.T, form Form, file []byte) (packets int, whole bool) {
	t.Helper()
	content, whole := file, true
	if form == Zstd {
		d, err := zstd.NewReader(bytes.NewReader(file), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		content, err = io.ReadAll(d)
		whole = err == nil
	}
	s := pcapng.NewScanner(bytes.NewReader(content))
	for s.Next() == nil {
		if s.Packet() != nil {
			packets++
		}
	}
	if err := s.Err(); err != nil {
		t.Fatalf("what is readable of the file ends inside a block: %v", err)
	}
	return packets, whole
}

// TestWriteFaults fails each write of a file in turn, after none, some or all
// but one of its bytes, which the system may deny: what was written before stays
// readable, the error sticks, and Close ends the file well, at once or, where it cannot
// yet, when it is called again.
func TestWriteFaults(t *testing.T) {
	const chunks = 4
	for _, form := range []Form{Zstd, Plain} {
		for failAt := range chunks + 2 { // the header, the chunks, the end
			for _, partial := range []int{0, 1, 50, 137} {
				for _, lies := range []bool{false, true} {
					for _, truncErr := range []error{nil, errors.New("input/output error")} {
						t.Run(fmt.Sprintf("%v/%d/%d/%v/%v", form, failAt, partial, lies, truncErr != nil), func(t *testing.T) {
							testWriteFault(t, form, chunks, failAt, faultyFile{partial: partial, lies: lies, truncErr: truncErr})
						})
					}
				}
			}
		}
	}
}

func testWriteFault(t *testing.T, form Form, chunks, failAt int, fault faultyFile) {
	const perChunk = 3
	f := &faultyFile{failing: failAt == 0, partial: min(fault.partial, 50), lies: fault.lies, truncErr: fault.truncErr}
	w, err := NewWriter(f, Config{Form: form})
	if failAt == 0 {
		if !errors.Is(err, errFull) {
			t.Fatalf("NewWriter: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	z := NewCompressor(WindowBytes(0))
	for i := range chunks {
		content, count := packets(t, perChunk*60000, func(b []byte) { b[0] = byte(i) })
		c := newChunk(content, count)
		if err := z.Compress(c, Fastest, make([]byte, 0, EncodedCap(len(content)))); err != nil {
			t.Fatal(err)
		}
		if i+1 == failAt {
			f.failing, f.partial = true, fault.partial
		}
		err := w.WriteChunk(c)
		if failed := i+1 >= failAt; failed != errors.Is(err, errFull) {
			t.Fatalf("chunk %d: %v", i, err)
		}
	}
	written := min(failAt-1, chunks) * perChunk
	endFails := failAt == chunks+1
	if endFails {
		f.failing, f.partial = true, fault.partial
	}
	err = w.Close(End{Lost: 7})
	if want := endFails || fault.truncErr != nil; want != (err != nil) {
		t.Fatalf("Close: %v", err)
	}
	if torn := fault.truncErr != nil; torn != w.Torn() {
		t.Fatalf("the file is torn: %v", w.Torn())
	}
	if !w.Torn() {
		if uint64(f.Len()) != w.Size() {
			t.Fatalf("file has %d bytes, Size says %d", f.Len(), w.Size())
		}
		if got, whole := readable(t, form, f.Bytes()); got != written || whole == endFails && form == Zstd {
			t.Fatalf("%d packets are readable, %d were written; the file is whole: %v", got, written, whole)
		}
	}
	f.truncErr = nil
	if err != nil {
		if err := w.Close(End{Lost: 7}); err != nil {
			t.Fatalf("Close, called again: %v", err)
		}
	}
	if got, whole := readable(t, form, f.Bytes()); got != written || !whole {
		t.Fatalf("%d packets are readable, %d were written; the file is whole: %v", got, written, whole)
	}
	if _, err = readIndexAlone(bytes.NewReader(f.Bytes()), int64(f.Len())); err != nil {
		t.Fatalf("index: %v", err)
	}
	if err := w.WriteChunk(newChunk(nil, 0)); err == nil {
		t.Fatal("a chunk could be written after Close")
	}
	if err := w.Close(End{}); err == nil {
		t.Fatal("the file could be closed twice")
	}
}

// TestIndexWriteFails fails the write of an index block between chunks: the
// chunk before it is in the file once, and Close makes it whole.
func TestIndexWriteFails(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		f := new(faultyFile)
		w, err := NewWriter(f, Config{Form: form})
		if err != nil {
			t.Fatal(err)
		}
		z := NewCompressor(0)
		content, count := packets(t, 40, func([]byte) {})
		for i := range MaxIndexEntries + 1 {
			c := newChunk(content, count)
			if err := z.Compress(c, Fastest, make([]byte, 0, 4096)); err != nil {
				t.Fatal(err)
			}
			if i == MaxIndexEntries {
				f.failing, f.partial = true, 100
			}
			if err := w.WriteChunk(c); errors.Is(err, errFull) != (i == MaxIndexEntries) {
				t.Fatalf("chunk %d: %v", i, err)
			}
		}
		if err := w.Close(End{}); err != nil {
			t.Fatal(err)
		}
		if got, whole := readable(t, form, f.Bytes()); got != MaxIndexEntries || !whole {
			t.Fatalf("%v: %d packets are readable of %d, whole: %v", form, got, MaxIndexEntries, whole)
		}
		if index, err := readIndexAlone(bytes.NewReader(f.Bytes()), int64(f.Len())); err != nil || len(index) != MaxIndexEntries {
			t.Fatalf("%v: index of %d, %v", form, len(index), err)
		}
	}
}

// TestCutAnywhere cuts a file at every byte: what is left of it decodes to a
// prefix of the section, whole blocks at every zstd block boundary.
func TestCutAnywhere(t *testing.T) {
	var chunks []*Chunk
	for i := range 3 {
		content, count := packets(t, 40, func(b []byte) { b[0] = byte(i) })
		chunks = append(chunks, newChunk(content, count))
	}
	file, section, _ := joined(t, Fastest, chunks)
	for n := range len(file) {
		d, err := zstd.NewReader(bytes.NewReader(file[:n]), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(d)
		d.Close()
		if err == nil && n > 0 {
			t.Fatalf("cut at byte %d of %d the file seems whole", n, len(file))
		}
		if !bytes.HasPrefix(section, got) {
			t.Fatalf("cut at byte %d the file decodes to %d other bytes", n, len(got))
		}
		if _, err := readIndexAlone(bytes.NewReader(file[:n]), int64(n)); err == nil {
			t.Fatalf("cut at byte %d the file still has an index", n)
		}
	}
}

// TestCutBehindChunk cuts a file behind each chunk, as a recorder leaves it that
// was killed: everything up to there can be had, also by zstd(1).
func TestCutBehindChunk(t *testing.T) {
	contents := blocktest.Fills(5)
	for m := range methods {
		var chunks []*Chunk
		for _, size := range []int{1, 1000, 131000, 131072, 300000} {
			for _, fill := range []string{"text", "random", "zero"} {
				chunks = append(chunks, newChunk(packets(t, size, contents[fill])))
			}
		}
		file, section, entries := joined(t, m, chunks)
		for i, e := range entries {
			cmd := exec.Command("zstd", "-dcq")
			cmd.Stdin = bytes.NewReader(file[:e.FileOffset+uint64(e.StoredLen)])
			out, _ := cmd.Output() // it complains of the missing end, and must
			if want := section[:e.ContentOffset+MarkLen+uint64(e.ContentLen)]; !bytes.Equal(out, want) {
				t.Errorf("%v: cut behind chunk %d zstd gives %d bytes of %d", m, i, len(out), len(want))
			}
		}
	}
}

// TestPlainAndStream: the plain form is the section that the zstd form decodes
// to but for where things are; the stream form has neither marks nor index.
// tshark and capinfos read both.
func TestPlainAndStream(t *testing.T) {
	for _, form := range []Form{Plain, Stream} {
		var f memFile
		w, err := NewWriter(&f, Config{Form: form, Section: pcapng.Section{Comment: "a comment", InterfaceName: "tun7", Snaplen: 262144}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c := newChunk(packets(t, 100000, func(b []byte) { clear(b) }))
			c.Dropped, c.DroppedByQueue, c.Filtered = 1, 10, 100
			c.Hash()
			promised := w.SizeWith(c)
			if err := w.WriteChunk(c); err != nil {
				t.Fatal(err)
			}
			if w.SizeWith(nil) != promised {
				t.Fatalf("SizeWith promised %d, is %d", promised, w.SizeWith(nil))
			}
		}
		promised := w.SizeWith(nil)
		if err := w.Close(End{Start: 1e18, Stop: 2e18, Lost: 1000}); err != nil {
			t.Fatal(err)
		}
		if uint64(f.Len()) != promised {
			t.Fatalf("SizeWith promised %d, the file has %d", promised, f.Len())
		}
		ours := 0
		s := pcapng.NewScanner(bytes.NewReader(f.Bytes()))
		for s.Next() == nil {
			if s.Type() == BlockMark || s.Type() == BlockIndex {
				ours++
			}
		}
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		if want := map[Form]int{Plain: 4, Stream: 0}[form]; ours != want {
			t.Fatalf("%v form has %d blocks of ours, want %d", form, ours, want)
		}
		if index, err := readIndexAlone(bytes.NewReader(f.Bytes()), int64(f.Len())); form == Plain && (err != nil || len(index) != 3) {
			t.Fatalf("index of %d entries, %v", len(index), err)
		} else if form == Stream && !errors.Is(err, ErrNoIndex) {
			t.Fatalf("index of a stream: %v", err)
		}
		name := filepath.Join(t.TempDir(), "x.pcapng")
		if err := os.WriteFile(name, f.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("capinfos", name).CombinedOutput()
		if err != nil {
			t.Fatalf("capinfos: %v\n%s", err, out)
		}
		for _, want := range []string{"Number of packets:   6", "a comment", "Name = tun7", "Raw IP", "Number of stat entries = 1"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("capinfos of the %v form does not say %q:\n%s", form, want, out)
			}
		}
	}
}

// TestTotals: the statistics block adds up the chunks.
func TestTotals(t *testing.T) {
	var f memFile
	w, err := NewWriter(&f, Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := newChunk(packets(t, 40, func([]byte) {}))
	c.Filtered, c.DroppedByQueue, c.Dropped = 2, 30, 400
	z := NewCompressor(WindowBytes(0))
	for range 2 {
		if err := z.Compress(c, Fastest, make([]byte, 0, 4096)); err != nil {
			t.Fatal(err)
		}
		if err := w.WriteChunk(c); err != nil {
			t.Fatal(err)
		}
	}
	want := pcapng.Statistics{Start: 5, End: 6, Received: 2*433 + 5000, Dropped: 2*430 + 5000,
		FilterAccept: 2*401 + 5000, OSDropped: 60, Delivered: 2}
	if got := w.Totals(End{Start: 5, Stop: 6, Lost: 5000}); got != want {
		t.Fatalf("totals %+v\nwant   %+v", got, want)
	}
}

// FuzzReadIndex gives readIndexAlone files from strangers: it must end, with an
// error or not, without believing a length.
func FuzzReadIndex(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		var chunks []*Chunk
		for range n {
			content, count := packets(f, 40, func([]byte) {})
			chunks = append(chunks, newChunk(content, count))
		}
		file, section, _ := joined(f, Fastest, chunks)
		f.Add(file)
		f.Add(section)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		entries, err := readIndexAlone(bytes.NewReader(file), int64(len(file)))
		if err == nil && len(entries)*EntryLen > len(file) {
			t.Fatalf("%d entries out of a file of %d bytes", len(entries), len(file))
		}
	})
}

func BenchmarkCompress(b *testing.B) {
	for m := range methods {
		benchmarkCompress(b, m.String(), m, "text")
	}
	benchmarkCompress(b, "noise", Fastest, "random")
}

func benchmarkCompress(b *testing.B, name string, m Method, fill string) {
	content, count := packets(b, 1<<20, blocktest.Fills(1)[fill])
	c := newChunk(content, count)
	buf := make([]byte, 0, EncodedCap(len(content)))
	b.Run(name, func(b *testing.B) {
		z := NewCompressor(1 << 20)
		b.SetBytes(int64(len(content)))
		b.ReportAllocs()
		for b.Loop() {
			if err := z.Compress(c, m, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEncodeAll is what klauspost's encoder alone takes for the same.
func BenchmarkEncodeAll(b *testing.B) {
	content, _ := packets(b, 1<<20, blocktest.Fills(1)["text"])
	buf := make([]byte, 0, EncodedCap(len(content)))
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20),
		zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		buf = e.EncodeAll(content, buf[:0])
	}
}
