package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// recording is a file and what was put into it.
type recording struct {
	form    Form
	section pcapng.Section
	bytes   []byte
	header  int // bytes before the first chunk
	entries []Entry
	packets []Packet
	end     End
}

// record writes a file of chunks with that many packets each, one packet a
// millisecond, the numbers 0, 1, 2 … in them.
func record(t testing.TB, form Form, section pcapng.Section, perChunk ...int) recording {
	t.Helper()
	r := recording{form: form, section: section, end: End{Start: 1e18, Stop: 2e18, Lost: 1000,
		Counts: Entry{Filtered: 4, DroppedByQueue: 50}}}
	var f memFile
	w, err := NewWriter(&f, Config{Form: form, Section: section})
	if err != nil {
		t.Fatal(err)
	}
	r.header = f.Len()
	z := NewCompressor(WindowBytes(0))
	for _, n := range perChunk {
		c := newChunk(nil, 0)
		c.Entry = Entry{Filtered: 1, DroppedByQueue: 20, Dropped: 300}
		for range n {
			p := Packet{int64(1e18 + 1e6*len(r.packets)), fmt.Appendf(nil, "%060d", len(r.packets)), 1500}
			r.packets = append(r.packets, p)
			block := make([]byte, len(p.Data)+pcapng.PacketOverhead)
			copy(block[pcapng.PacketHeaderLen:], p.Data)
			c.Content = append(c.Content, block[:pcapng.PutPacket(block, len(p.Data), p.OrigLen, p.UnixNano)]...)
			c.Entry.Add(p.UnixNano, p.OrigLen)
		}
		if err := z.Compress(c, Fastest, make([]byte, 0, EncodedCap(len(c.Content)))); err != nil {
			t.Fatal(err)
		}
		if form != Zstd {
			c.Hash()
		}
		if err := w.WriteChunk(c); err != nil {
			t.Fatal(err)
		}
		r.entries = append(r.entries, c.Entry)
	}
	if err := w.Close(r.end); err != nil {
		t.Fatal(err)
	}
	r.bytes = f.Bytes()
	return r
}

var tunrecSection = pcapng.Section{Application: "tunrec 1.2.3", Comment: "c", Hardware: "h", OS: "os",
	InterfaceName: "tun0", InterfaceDescription: "d", Filter: "udp", Snaplen: 1600}

func open(t testing.TB, file []byte) *Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// all collects what an iterator gives, and its errors.
func all[T any](seq func(func(T, error) bool), clone func(T) T) (values []T, errs []error) {
	for v, err := range seq {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		values = append(values, clone(v))
	}
	return values, errs
}

func allPackets(r *Reader, from, to int64) ([]Packet, []error) {
	return all(r.Packets(from, to), func(p Packet) Packet { p.Data = bytes.Clone(p.Data); return p })
}

func allChunks(r *Reader) ([]Entry, []error) {
	return all(r.Chunks(), func(e Entry) Entry { return e })
}

func samePacket(a, b Packet) bool {
	return a.UnixNano == b.UnixNano && a.OrigLen == b.OrigLen && bytes.Equal(a.Data, b.Data)
}

// wantInfo is what the first n chunks of a recording say.
func (r *recording) wantInfo(n int) Info {
	i := Info{Form: r.form, Section: r.section, Size: int64(len(r.bytes)), Chunks: uint64(n)}
	for _, e := range r.entries[:n] {
		e.addTo(&i.Statistics)
		i.Packets += uint64(e.Packets)
		i.OriginalBytes += 1500 * uint64(e.Packets)
		i.Dropped += e.DroppedByQueue + e.Dropped
		i.ContentBytes += uint64(e.ContentLen)
	}
	if i.Packets > 0 {
		i.First, i.Last = 1e18, r.packets[i.Packets-1].UnixNano
	}
	return i
}

func TestOpen(t *testing.T) {
	const group = MaxIndexEntries
	for _, form := range []Form{Zstd, Plain} {
		for _, n := range []int{0, 1, group - 1, group, group + 1, 2*group + 1} {
			t.Run(fmt.Sprintf("%v/%d", form, n), func(t *testing.T) {
				perChunk := make([]int, n)
				for i := range perChunk {
					perChunk[i] = (i + 2) % 3
				}
				rec := record(t, form, tunrecSection, perChunk...)
				name := filepath.Join(t.TempDir(), "x")
				if err := os.WriteFile(name, rec.bytes, 0o600); err != nil {
					t.Fatal(err)
				}
				r, err := Open(name)
				if err != nil {
					t.Fatal(err)
				}
				want := rec.wantInfo(n)
				w := Writer{totals: want.Statistics}
				want.Statistics, want.Unplaced = w.Totals(rec.end), Entry{Filtered: 4, DroppedByQueue: 50, Dropped: 1000}
				if got := r.Info(); got != want {
					t.Fatalf("info\n%+v, want\n%+v", got, want)
				}
				if got, errs := allChunks(r); !slices.Equal(got, rec.entries) || errs != nil {
					t.Fatalf("%d chunks, %v; want %d", len(got), errs, n)
				}
				if got, errs := allPackets(r, math.MinInt64, math.MaxInt64); !slices.EqualFunc(got, rec.packets, samePacket) || errs != nil {
					t.Fatalf("%d packets, %v; want %d", len(got), errs, len(rec.packets))
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestOpenLongHeader: a header takes as many raw blocks as it needs.
func TestOpenLongHeader(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, form := range []Form{Zstd, Plain} {
		for _, n := range []int{zstdblock.Max/2 - 100, 65534} {
			section := pcapng.Section{Application: "tunrec" + long(n-6), Comment: long(n), Hardware: long(n),
				OS: long(n), InterfaceName: long(n), InterfaceDescription: long(n), Filter: long(n)}
			rec := record(t, form, section, 1, 2)
			r := open(t, rec.bytes)
			if got := r.Info(); got.Section != section || got.Damage != nil {
				t.Fatalf("%v, %d: section of another length, or damage %v", form, n, got.Damage)
			}
			if got, errs := allPackets(r, math.MinInt64, math.MaxInt64); len(got) != 3 || errs != nil {
				t.Fatalf("%d packets, %v", len(got), errs)
			}
		}
	}
}

// TestOpenCut cuts files at every byte: the chunks that are whole are found
// and read.
func TestOpenCut(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 0, 1, 2)
		for size := range rec.bytes {
			checkCut(t, rec, size)
		}
	}
}

// TestOpenCutLong cuts a file around its index blocks.
func TestOpenCutLong(t *testing.T) {
	perChunk := make([]int, 2*MaxIndexEntries+2)
	for i := range perChunk {
		perChunk[i] = 1
	}
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, perChunk...)
		for _, n := range []int{MaxIndexEntries, 2 * MaxIndexEntries} {
			ends := int(rec.entries[n-1].FileOffset) + int(rec.entries[n-1].StoredLen)
			next := int(rec.entries[n].FileOffset)
			for _, at := range []int{ends, ends + 4, next - 200, next, next + MarkLen} {
				for d := -1; d <= 1; d++ {
					checkCut(t, rec, at+d)
				}
			}
		}
	}
}

func checkCut(t *testing.T, rec recording, size int) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(rec.bytes[:size]), int64(size))
	if size < rec.header {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%v cut at byte %d, in the header: %v", rec.form, size, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v cut at byte %d: %v", rec.form, size, err)
	}
	n := 0
	for n < len(rec.entries) && int(rec.entries[n].FileOffset)+int(rec.entries[n].StoredLen) <= size {
		n++
	}
	want := rec.wantInfo(n)
	want.Size = int64(size)
	got := r.Info()
	want.Damage, got.Damage = got.Damage, nil
	if !errors.Is(want.Damage, io.ErrUnexpectedEOF) || want.Damage.Offset > int64(size) {
		t.Fatalf("%v cut at byte %d: damage is %v", rec.form, size, want.Damage)
	}
	if want.Damage = nil; got != want {
		t.Fatalf("%v cut at byte %d: info\n%+v, want\n%+v", rec.form, size, got, want)
	}
	entries, errs := allChunks(r)
	if !slices.Equal(entries, rec.entries[:n]) || errs != nil {
		t.Fatalf("%v cut at byte %d: %d chunks, %v", rec.form, size, len(entries), errs)
	}
	packets, errs := allPackets(r, math.MinInt64, math.MaxInt64)
	if !slices.EqualFunc(packets, rec.packets[:got.Packets], samePacket) || errs != nil {
		t.Fatalf("%v cut at byte %d: %d packets, %v", rec.form, size, len(packets), errs)
	}
}

// TestOpenFlipped flips bits of every byte behind the header: no packet comes
// out changed, and none is missing without an error or a word on the damage.
func TestOpenFlipped(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 0, 40)
		last := rec.entries[len(rec.entries)-1]
		chunksEnd := int(last.FileOffset) + int(last.StoredLen)
		for at := rec.header; at < len(rec.bytes); at++ {
			for _, bits := range []byte{1, 0x80, 0xff} {
				file := bytes.Clone(rec.bytes)
				file[at] ^= bits
				r := open(t, file)
				got, errs := allPackets(r, math.MinInt64, math.MaxInt64)
				next := 0
				for _, p := range got {
					i := slices.IndexFunc(rec.packets[next:], func(q Packet) bool { return samePacket(p, q) })
					if i < 0 {
						t.Fatalf("%v, byte %d: packet at %d was never written", form, at, p.UnixNano)
					}
					next += i + 1
				}
				missing := len(got) < len(rec.packets)
				if missing && r.Info().Damage == nil && errs == nil {
					t.Fatalf("%v, byte %d: %d packets of %d, and no word on it", form, at, len(got), len(rec.packets))
				}
				if missing && at >= chunksEnd {
					t.Fatalf("%v, byte %d behind the chunks: %d packets of %d", form, at, len(got), len(rec.packets))
				}
				for _, err := range errs {
					if _, ok := errors.AsType[*CorruptError](err); !ok {
						t.Fatalf("%v, byte %d: %v", form, at, err)
					}
				}
			}
		}
	}
}

// TestOpenLyingIndex puts impossible numbers into an index whose hashes fit:
// the chunks are found by their marks then.
func TestOpenLyingIndex(t *testing.T) {
	const previous, first, statistics, entryOffset, entryStored = 16, 24, 32, indexHeaderLen, indexHeaderLen + 16
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 4)
		end := len(rec.bytes)
		if form == Zstd {
			end -= zstdChecksumLen
		}
		index := end - indexOverhead - 2*EntryLen
		for _, field := range []int{previous, first, statistics, entryOffset, entryOffset + EntryLen} {
			for _, value := range []uint64{1, rec.entries[1].FileOffset + 200, uint64(index), 1 << 62, 1 << 63, math.MaxUint64 - 50, math.MaxUint64} {
				file := bytes.Clone(rec.bytes)
				binary.LittleEndian.PutUint64(file[index+field:], value)
				checkLie(t, rec, file)
			}
		}
		for _, value := range []uint32{0, MarkLen - 1, maxStoredLen(rec.entries[0].ContentLen) + 1, 2*MaxChunkLen + 1, math.MaxUint32} {
			file := bytes.Clone(rec.bytes)
			binary.LittleEndian.PutUint32(file[index+entryStored:], value)
			checkLie(t, rec, file)
		}
	}
}

func checkLie(t *testing.T, rec recording, file []byte) {
	t.Helper()
	sealHashes(file)
	r := open(t, file)
	if d := r.Info().Damage; d == nil || d.Err == io.ErrUnexpectedEOF {
		t.Fatalf("%v: damage is %v", rec.form, d)
	}
	if got, errs := allPackets(r, math.MinInt64, math.MaxInt64); !slices.EqualFunc(got, rec.packets, samePacket) || errs != nil {
		t.Fatalf("%v: %d packets, %v; want %d", rec.form, len(got), errs, len(rec.packets))
	}
}

func TestOpenForeign(t *testing.T) {
	plain := record(t, Plain, tunrecSection, 3).bytes
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := tunrecSection
	other.Application = "dumpcap"
	// secrets puts a Decryption Secrets Block between section header and interface.
	secrets := func(body []byte) []byte {
		file := record(t, Stream, other, 3).bytes
		at := binary.LittleEndian.Uint32(file[4:])
		length := binary.LittleEndian.AppendUint32(nil, uint32(len(body)+12))
		if len(body) == 4 {
			length = body
		}
		return slices.Concat(file[:at], []byte{10, 0, 0, 0}, length, body, length, file[at:])
	}
	for name, file := range map[string][]byte{
		"text":          []byte("hello, world"),
		"pcap":          {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0},
		"stream":        record(t, Stream, tunrecSection, 3).bytes,
		"other program": record(t, Stream, other, 3).bytes,
		"header only":   record(t, Plain, other).bytes[:record(t, Plain, other).header],
		"recompressed":  e.EncodeAll(plain, nil),
		"no packets":    record(t, Stream, tunrecSection).bytes,
		"long header":   secrets(make([]byte, maxHeaderLen)),
		"bad header":    secrets([]byte{0xff, 0xff, 0xff, 0x7f}),
	} {
		_, err := NewReader(bytes.NewReader(file), int64(len(file)))
		if !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, pcap := range []string{"dns.pcap", "tls.pcapng"} {
		name := filepath.Join("..", "testdata", "pcaps", pcap)
		if _, err := Open(name); !errors.Is(err, ErrForeign) || !strings.HasPrefix(err.Error(), name+": not a tunrec capture file") {
			t.Errorf("%s: %v", pcap, err)
		}
	}
}

// counting counts reads.
type counting struct {
	io.ReaderAt
	reads int
}

func (c *counting) ReadAt(b []byte, at int64) (int, error) {
	c.reads++
	return c.ReaderAt.ReadAt(b, at)
}

// TestIdentifyReadsOnce: a directory of thousands of files is looked through.
func TestIdentifyReadsOnce(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		c := &counting{ReaderAt: bytes.NewReader(record(t, form, tunrecSection, 3).bytes)}
		if _, err := Identify(c); err != nil || c.reads != 1 {
			t.Errorf("%v: %d reads, %v", form, c.reads, err)
		}
	}
	long := tunrecSection
	long.Comment = strings.Repeat("x", 60_000)
	c := &counting{ReaderAt: bytes.NewReader(record(t, Plain, long, 3).bytes)}
	if got, err := Identify(c); err != nil || got != long {
		t.Errorf("a long header: %v", err)
	}
}

// TestEmpty: a file of 0 bytes says what it is, and is a kind of one that was cut short.
func TestEmpty(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.pcapng")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(name)
	if want := name + " is empty: nothing was ever written to it"; err == nil || err.Error() != want || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := Identify(bytes.NewReader(nil)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}

func TestIdentify(t *testing.T) {
	for _, form := range []Form{Zstd, Plain, Stream} {
		rec := record(t, form, tunrecSection, 3)
		if got, err := Identify(bytes.NewReader(rec.bytes)); err != nil || got != tunrecSection {
			t.Errorf("%v: %+v, %v", form, got, err)
		}
		if _, err := Identify(bytes.NewReader(rec.bytes[:rec.header-1])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v, cut in the header: %v", form, err)
		}
		if _, err := Identify(bytes.NewReader(record(t, form, pcapng.Section{}, 3).bytes)); !errors.Is(err, ErrForeign) {
			t.Errorf("%v of another application: %v", form, err)
		}
	}
}
