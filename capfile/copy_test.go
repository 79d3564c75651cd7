package capfile

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/internal/zstdblock"

	"github.com/tunrec/tunrec/internal/zstdblock/blocktest"
)

// TestLoadChunk copies the chunks of a file to another one as they are: it
// decodes to the same section, but for where things stand.
func TestLoadChunk(t *testing.T) {
	for name, fill := range blocktest.Fills(3) {
		for m := range methods {
			var chunks []*Chunk
			for i := range 5 {
				content, count := packets(t, i*70000, fill)
				chunks = append(chunks, newChunk(content, count))
			}
			file, section, entries := joined(t, m, chunks)
			r := open(t, file)
			window := r.WindowBytes()
			var copied memFile
			w, err := NewWriter(&copied, Config{WindowBytes: window, Section: r.Info().Section})
			if err != nil {
				t.Fatal(err)
			}
			var b Buffer
			for i := len(entries) - 1; i >= 0; i-- { // in another order: nothing leans on a neighbour
				c, err := r.LoadChunk(entries[i], &b)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.WriteChunk(c); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(End{}); err != nil {
				t.Fatal(err)
			}
			d, err := zstd.NewReader(nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.DecodeAll(copied.Bytes(), nil) // its checksum is right, too
			d.Close()
			if err != nil || len(got) > len(section)+1<<16 {
				t.Fatalf("%s, %v: %d bytes, %v", name, m, len(got), err)
			}
			again := open(t, copied.Bytes())
			if d := again.Info().Damage; d != nil {
				t.Fatalf("%s, %v: %v", name, m, d)
			}
			i := len(chunks)
			for e, err := range again.Chunks() {
				if err != nil {
					t.Fatal(err)
				}
				i--
				content, err := again.ReadChunk(e, &b)
				if err != nil || !bytes.Equal(content, chunks[i].Content) || e.Method != chunks[i].Method {
					t.Fatalf("%s, %v: chunk %d differs, %v", name, m, i, err)
				}
			}
		}
	}
}

// TestLoadChunkEndsFrame: a chunk that decodes alone, but would end the frame
// that it is copied into, is refused.
func TestLoadChunkEndsFrame(t *testing.T) {
	content, count := packets(t, 1000, func(b []byte) { clear(b) })
	c := newChunk(content, count)
	c.Hash()
	e := c.Entry
	file := make([]byte, MarkLen)
	file = zstdblock.AppendRaw(file, content, true)
	// What ReadChunk puts behind it is hidden in a frame to be skipped.
	file = append(file, 0x50, 0x2a, 0x4d, 0x18, zstdblock.HeaderLen, 0, 0, 0)
	e.StoredLen = uint32(len(file))
	putMark(file, Zstd, &e)
	r := &Reader{f: bytes.NewReader(file), header: header{form: Zstd, window: 0x50}, info: Info{Form: Zstd, Size: int64(len(file))}}
	var b Buffer
	if _, err := r.ReadChunk(e, &b); err != nil {
		t.Fatalf("it does not decode: %v", err)
	}
	_, err := r.LoadChunk(e, &b)
	if _, ok := errors.AsType[*CorruptError](err); !ok || !strings.Contains(err.Error(), "ends the frame") {
		t.Fatalf("error is %v", err)
	}
}

// TestLoadChunkOtherMark: a chunk whose mark is the right one only when it is
// decoded is refused, since a copy would get other bytes there.
func TestLoadChunkOtherMark(t *testing.T) {
	content, count := packets(t, 1000, func(b []byte) { clear(b) })
	c := newChunk(content, count)
	c.Hash()
	e := c.Entry
	e.StoredLen = uint32(zstdblock.HeaderLen + MarkLen + zstdblock.HeaderLen + len(content))
	var mark [MarkLen]byte
	putMark(mark[:], Plain, &e)
	file := zstdblock.AppendRaw(zstdblock.AppendRaw(nil, mark[:], false), content, false)
	r := &Reader{f: bytes.NewReader(file), header: header{form: Zstd, window: 0x50}, info: Info{Form: Zstd, Size: int64(len(file))}}
	var b Buffer
	if _, err := r.ReadChunk(e, &b); err != nil {
		t.Fatalf("it does not decode: %v", err)
	}
	_, err := r.LoadChunk(e, &b)
	if _, ok := errors.AsType[*CorruptError](err); !ok || !strings.Contains(err.Error(), "mark") {
		t.Fatalf("error is %v", err)
	}
}

// TestWindowBytes: what a file says is what its Writer was told, and a window
// with a mantissa is rounded up.
func TestWindowBytes(t *testing.T) {
	for window := 1 << 20; window <= 8<<20; window <<= 1 {
		var f memFile
		w, err := NewWriter(&f, Config{WindowBytes: window, Section: tunrecSection})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(End{}); err != nil {
			t.Fatal(err)
		}
		if got := open(t, f.Bytes()).WindowBytes(); got != window {
			t.Errorf("window of %d bytes, not %d", got, window)
		}
	}
	r := &Reader{header: header{window: 0x51}, info: Info{Form: Zstd}}
	if got := r.WindowBytes(); got != 2<<20 {
		t.Errorf("a window of 1 MiB and an eighth needs %d", got)
	}
}

// TestTailSkips goes on behind damaged chunks as long as their marks are good.
func TestTailSkips(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, slices.Repeat([]int{1}, MaxIndexEntries+5)...)
		damaged := map[int]bool{0: true, 3: true, 4: true, MaxIndexEntries - 1: true, MaxIndexEntries: true}
		for i := range damaged {
			rec.bytes[rec.entries[i].FileOffset+MarkLen+20] ^= 0xff
		}
		last := len(rec.entries) - 1
		rec.bytes[rec.entries[last].FileOffset+MarkLen/2] ^= 0xff // of its mark
		tail, err := NewTail(bytes.NewReader(rec.bytes))
		if err != nil || tail.Section() != tunrecSection {
			t.Fatal(tail, err)
		}
		var b Buffer
		for n, e := range rec.entries {
			c, err := tail.Next(int64(len(rec.bytes)), &b)
			if err == nil && c.Entry == e && !damaged[n] {
				if tail.Skip() {
					t.Fatalf("%v: a good chunk is left out", form)
				}
				continue
			}
			if _, ok := errors.AsType[*CorruptError](err); !ok || errors.Is(err, io.ErrUnexpectedEOF) || !damaged[n] && n != last {
				t.Fatalf("%v: chunk %d: %v", form, n, err)
			}
			if tail.Skip() != (n != last) {
				t.Fatalf("%v: chunk %d is left out: %v", form, n, n == last)
			}
		}
	}
}

// TestTail reads a file as it grows, byte by byte where chunks end.
func TestTail(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, slices.Concat([]int{3, 0}, slices.Repeat([]int{1}, MaxIndexEntries+5))...)
		interesting := []int64{int64(len(rec.bytes))}
		for _, e := range rec.entries {
			for _, d := range []int64{-1, 0, 1} {
				interesting = append(interesting, int64(e.FileOffset)+int64(e.StoredLen)+d)
			}
		}
		slices.Sort(interesting)
		tail, err := NewTail(bytes.NewReader(rec.bytes))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		var b Buffer
		for _, size := range interesting {
			for {
				c, err := tail.Next(size, &b)
				if err != nil {
					if c, ok := errors.AsType[*CorruptError](err); !ok || c.Err == nil {
						t.Fatalf("%v, %d bytes: %v", form, size, err)
					}
					break
				}
				if c.Entry != rec.entries[n] {
					t.Fatalf("%v: chunk %d is %+v", form, n, c.Entry)
				}
				n++
			}
			want := 0
			for _, e := range rec.entries {
				if int64(e.FileOffset)+int64(e.StoredLen) <= size {
					want++
				}
			}
			if n != want {
				t.Fatalf("%v: %d chunks of %d in the first %d bytes", form, n, want, size)
			}
		}
	}
}
