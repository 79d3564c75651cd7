package capfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/internal/zstdblock/blocktest"
	"github.com/tunrec/tunrec/pcapng"
)

// memFile is a File in memory.
type memFile struct{ bytes.Buffer }

func (m *memFile) Truncate(n int64) error { m.Buffer.Truncate(int(n)); return nil }

// packets returns pcapng blocks of about n bytes in all (exactly one block
// with the right number of bytes where n is small) whose packet bytes come
// from fill.
func packets(t testing.TB, n int, fill func(b []byte)) (blocks []byte, count uint32) {
	t.Helper()
	for len(blocks) < n {
		size := min(n-len(blocks), 60000)
		b := make([]byte, pcapng.PacketOverhead+size)
		fill(b[pcapng.PacketHeaderLen : pcapng.PacketHeaderLen+size])
		b = b[:pcapng.PutPacket(b, size, size, int64(1e18)+int64(count))]
		blocks = append(blocks, b...)
		count++
	}
	return blocks, count
}

// newChunk returns a chunk with that content, as the recorder fills one.
func newChunk(content []byte, count uint32) *Chunk {
	c := &Chunk{Content: bytes.Clone(content)}
	c.Packets = count
	c.Earliest, c.Latest = 1e18, 1e18+int64(count)
	return c
}

// joined writes the chunks by method m and returns the file, the section it
// must decode to, and its entries.
func joined(t testing.TB, m Method, chunks []*Chunk) (file, section []byte, entries []Entry) {
	t.Helper()
	return joinedBy(t, chunks, func(z *Compressor, _ int, c *Chunk, buf []byte) error {
		return z.Compress(c, m, buf)
	})
}

// joinedBy is joined for chunks that are compressed by that function.
func joinedBy(t testing.TB, chunks []*Chunk, compress func(z *Compressor, i int, c *Chunk, buf []byte) error) (file, section []byte, entries []Entry) {
	t.Helper()
	largest := 0
	for _, c := range chunks {
		largest = max(largest, len(c.Content))
	}
	config := Config{WindowBytes: WindowBytes(largest), Section: pcapng.Section{Application: "test"}}
	head, err := config.Section.Encode()
	if err != nil {
		t.Fatal(err)
	}
	section = append(section, head...)
	var f memFile
	w, err := NewWriter(&f, config)
	if err != nil {
		t.Fatal(err)
	}
	z := NewCompressor(config.WindowBytes)
	for i, c := range chunks {
		if err := compress(z, i, c, make([]byte, 0, EncodedCap(len(c.Content)))); err != nil {
			t.Fatal(err)
		}
		promised := w.SizeWith(c)
		if err := w.WriteChunk(c); err != nil {
			t.Fatal(err)
		}
		if got := w.SizeWith(nil); got != promised {
			t.Fatalf("SizeWith promised %d bytes, after the chunk it says %d", promised, got)
		}
		if uint64(f.Len()) != w.Size() {
			t.Fatalf("Size is %d, the file has %d", w.Size(), f.Len())
		}
		if n := len(entries); n > 0 && n%MaxIndexEntries == 0 {
			section = append(section, f.Bytes()[c.FileOffset-maxIndexBlockLen:c.FileOffset]...)
		}
		var mark [MarkLen]byte
		putMark(mark[:], Plain, &c.Entry)
		section = append(append(section, mark[:]...), c.Content...)
		entries = append(entries, c.Entry)
	}
	promised := w.SizeWith(nil)
	tail := w.Size()
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
	if uint64(f.Len()) != promised {
		t.Fatalf("SizeWith promised %d bytes for the closed file, it has %d", promised, f.Len())
	}
	rest := f.Bytes()[tail:]
	if n := len(entries); n > 0 && n%MaxIndexEntries == 0 {
		section = append(section, rest[zstdblock.HeaderLen:][:maxIndexBlockLen]...)
		rest = rest[zstdblock.HeaderLen+maxIndexBlockLen:]
	}
	section = append(section, rest[zstdblock.HeaderLen:][:pcapng.StatisticsLen]...)
	section = append(section, rest[2*zstdblock.HeaderLen+pcapng.StatisticsLen:len(rest)-zstdChecksumLen]...)
	return f.Bytes(), section, entries
}

// alone decodes one chunk by itself: between a frame header and an empty last block.
func alone(t testing.TB, file []byte, e Entry) []byte {
	t.Helper()
	frame := slices.Concat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, file[5]},
		file[e.FileOffset:e.FileOffset+uint64(e.StoredLen)], []byte{1, 0, 0})
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.DecodeAll(frame, nil)
	if err != nil {
		t.Fatalf("chunk at %d does not decode alone: %v", e.FileOffset, err)
	}
	return out
}

// checkFile decodes a file by klauspost, zstd and tshark, and each of its
// chunks alone, and compares what comes out.
func checkFile(t *testing.T, file, section []byte, entries []Entry) {
	t.Helper()
	d, err := zstd.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(d); err != nil {
		t.Fatalf("klauspost: %v", err)
	}
	if !bytes.Equal(got.Bytes(), section) {
		t.Fatalf("klauspost decodes %d bytes, not the %d written ones", got.Len(), len(section))
	}

	name := filepath.Join(t.TempDir(), "joined.pcapng.zst")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("zstd", "-dcq", name).Output(); err != nil || !bytes.Equal(out, section) {
		t.Fatalf("zstd decodes %d bytes of %d: %v", len(out), len(section), err)
	}
	packets := 0
	for _, e := range entries {
		packets += int(e.Packets)
	}
	out, err := exec.Command("tshark", "-n", "-r", name, "-T", "fields", "-e", "frame.len").CombinedOutput()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, out)
	}
	lines := 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "Running as user") {
			lines++
		}
	}
	if lines != packets {
		t.Fatalf("tshark shows %d packets of %d", lines, packets)
	}

	index, err := readIndexAlone(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(index, entries) {
		t.Fatalf("index has %d entries that differ from the %d written", len(index), len(entries))
	}
	for i, e := range entries {
		content := alone(t, file, e)
		at := e.ContentOffset
		if want := section[at : at+uint64(MarkLen)+uint64(e.ContentLen)]; !bytes.Equal(content, want) {
			t.Fatalf("chunk %d alone decodes to %d bytes, not to its %d", i, len(content), len(want))
		}
		mark, err := decodeEntry(content[markEntryAt:])
		if err != nil || mark != e {
			t.Fatalf("mark of chunk %d: %v\n%+v\nindex:\n%+v", i, err, mark, e)
		}
		if binary.LittleEndian.Uint32(content) != BlockMark {
			t.Fatalf("chunk %d begins with % x", i, content[:4])
		}
	}
}

// TestJoinedChunks proves that chunks compressed apart from each other are one
// zstd frame: for every level, with every content before every other.
func TestJoinedChunks(t *testing.T) {
	for m := range methods {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			contents := blocktest.Fills(uint64(m))
			names := slices.Sorted(func(yield func(string) bool) {
				for n := range contents {
					if !yield(n) {
						return
					}
				}
			})
			var chunks []*Chunk
			for _, first := range names {
				for _, second := range names {
					for _, n := range []string{first, second} {
						chunks = append(chunks, newChunk(packets(t, 3000, contents[n])))
					}
					chunks = append(chunks, newChunk(nil, 0))
				}
			}
			file, section, entries := joined(t, m, chunks)
			checkFile(t, file, section, entries)
		})
	}
}

// TestChunkSizes straddles the sizes at which a level takes another path: a
// zstd block, a window, the longest slab.
func TestChunkSizes(t *testing.T) {
	sizes := []int{1, 2, 3, 4, 5, 1023, 1024, 1025, zstdblock.Max - 1, zstdblock.Max, zstdblock.Max + 1,
		1<<20 - 1, 1 << 20, 1<<20 + 1, 8<<20 - 1, 8 << 20, 8<<20 + 1}
	for m := range methods {
		if m == Best && raceEnabled {
			continue // minutes under the race detector, and nothing in it runs concurrently
		}
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			contents := blocktest.Fills(7)
			for _, name := range []string{"text", "random", "distance 8"} {
				sizes := sizes
				if name != "text" { // of the largest ones, which take longest, one
					sizes = append(slices.Clone(sizes[:len(sizes)-3]), sizes[len(sizes)-1])
				}
				var chunks []*Chunk
				for _, size := range sizes {
					chunks = append(chunks, newChunk(packets(t, size, contents[name])))
				}
				file, section, entries := joined(t, m, chunks)
				checkFile(t, file, section, entries)
			}
		})
	}
}

// TestRepeatOffsetsMatter shows that the marks are needed: with matches that
// do not reset the repeat offsets, the same chunks decode to something else.
func TestRepeatOffsetsMatter(t *testing.T) {
	saved := zstdMarkTail
	defer func() { zstdMarkTail = saved }()
	// Offsets 8, 1, 4 instead of 8, 4, 1: 01 00101 011 01110 00 01110 11.
	copy(zstdMarkTail[4:], []byte{0x3b, 0xdc, 0x4a})
	contents := blocktest.Fills(3)
	var chunks []*Chunk
	for range 20 {
		chunks = append(chunks, newChunk(packets(t, 3000, contents["distance 8"])))
		chunks = append(chunks, newChunk(packets(t, 3000, contents["distance 1"])))
	}
	file, section, _ := joined(t, Fastest, chunks)
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := d.DecodeAll(file, nil); err == nil && bytes.Equal(got, section) {
		t.Fatal("chunks decode right after marks that do not reset the repeat offsets: this test proves nothing")
	}
}

// TestManyChunks goes through more chunks than one index block lists.
func TestManyChunks(t *testing.T) {
	for _, n := range []int{0, 1, MaxIndexEntries - 1, MaxIndexEntries, MaxIndexEntries + 1, 2*MaxIndexEntries + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var chunks []*Chunk
			for i := range n {
				content, count := packets(t, 40, func(b []byte) { b[0] = byte(i) })
				chunks = append(chunks, newChunk(content, count))
			}
			file, section, entries := joined(t, Fastest, chunks)
			checkFile(t, file, section, entries)
		})
	}
}

// TestPacketsJoined alternates chunks by a packetCoder and by the library.
func TestPacketsJoined(t *testing.T) {
	contents := blocktest.Fills(6)
	r := rand.New(rand.NewPCG(6, 6))
	coder := zstdblock.NewPacketCoder(WindowBytes(0))
	var chunks []*Chunk
	for name := range contents {
		for range 3 {
			content, count := packets(t, 3000, contents[name])
			chunks = append(chunks, newChunk(bytes.Repeat(content, 3), 3*count))
		}
	}
	for _, n := range []int{1, 1000, 200 << 10} {
		for range 3 {
			content := blocktest.TunnelPackets(r, n, 3, 100, contents["random"])
			chunks = append(chunks, newChunk(content, uint32(len(content)/176)))
		}
	}
	for turn := range 3 {
		r.Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
		file, section, entries := joinedBy(t, chunks, func(z *Compressor, i int, c *Chunk, buf []byte) error {
			if (i+turn)%2 == 0 {
				return z.Compress(c, Fastest, buf)
			}
			c.Hash()
			c.Method = Fastest
			coded, _ := coder.Append(buf[:MarkLen], c.Content)
			c.encoded = zstdblock.AppendRaw(coded, nil, false)
			return nil
		})
		checkFile(t, file, section, entries)
	}
}
