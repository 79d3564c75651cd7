package capfile

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/internal/zstdblock"
)

// TestPackets asks for random times, and counts the chunks that are read for them.
func TestPackets(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 5, 0, 7, 1, 0, 9, 3)
		f := &countingFile{ReaderAt: bytes.NewReader(rec.bytes), reads: map[int64]int{}}
		r, err := NewReader(f, int64(len(rec.bytes)))
		if err != nil {
			t.Fatal(err)
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			from := int64(1e18) + rnd.Int64N(30e6) - 2e6
			to := from + rnd.Int64N(12e6) - 1e6
			var want []Packet
			for _, p := range rec.packets {
				if from <= p.UnixNano && p.UnixNano <= to {
					want = append(want, p)
				}
			}
			clear(f.reads)
			got, errs := allPackets(r, from, to)
			if !slices.EqualFunc(got, want, samePacket) || errs != nil {
				t.Fatalf("%d to %d: %d packets, %v; want %d", from, to, len(got), errs, len(want))
			}
			for _, e := range rec.entries {
				reads, in := f.reads[int64(e.FileOffset)], e.Packets > 0 && e.Earliest <= to && e.Latest >= from
				if in != (reads == 1) || !in && reads > 0 {
					t.Fatalf("%d to %d: the chunk of %d to %d was read %d times", from, to, e.Earliest, e.Latest, reads)
				}
			}
		}
		for range r.Packets(math.MinInt64, math.MaxInt64) {
			break // an iterator that goes on after this panics
		}
	}
}

// TestGroups: what is known of groups is what their chunks say, and those that
// have nothing of the times asked for are not read again.
func TestGroups(t *testing.T) {
	const n = 2*MaxIndexEntries + 5
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, slices.Concat(slices.Repeat([]int{1}, MaxIndexEntries+3), make([]int, n-MaxIndexEntries-3))...)
		for _, size := range []int{len(rec.bytes), len(rec.bytes) - 1} {
			f := &countingFile{ReaderAt: bytes.NewReader(rec.bytes[:size]), reads: map[int64]int{}}
			r, err := NewReader(f, int64(size))
			if err != nil {
				t.Fatal(err)
			}
			want := []Group{
				{rec.packets[0].UnixNano, rec.packets[MaxIndexEntries-1].UnixNano, r, 0},
				{rec.packets[MaxIndexEntries].UnixNano, rec.packets[MaxIndexEntries+2].UnixNano, r, 1},
				{math.MaxInt64, math.MinInt64, r, 2},
			}
			clear(f.reads)
			if got := slices.Collect(r.Groups()); !slices.Equal(got, want) || len(f.reads) > 0 {
				t.Fatalf("%v: groups %v after %d reads, want %v", form, got, len(f.reads), want)
			}
			for i, g := range want {
				got, errs := all(g.Chunks(), func(e Entry) Entry { return e })
				if !slices.Equal(got, rec.entries[i*MaxIndexEntries:min((i+1)*MaxIndexEntries, n)]) || errs != nil {
					t.Fatalf("%v: group %d: %d chunks, %v", form, i, len(got), errs)
				}
			}
			clear(f.reads)
			last := want[1].Latest
			if got, errs := allPackets(r, last, last); len(got) != 1 || errs != nil {
				t.Fatalf("%v: %d packets, %v", form, len(got), errs)
			}
			first, behind := rec.entries[MaxIndexEntries].FileOffset, rec.entries[2*MaxIndexEntries].FileOffset
			for at := range f.reads {
				if uint64(at) < first || uint64(at) >= behind {
					t.Errorf("%v: for packets between bytes %d and %d byte %d was read", form, first, behind, at)
				}
			}
		}
	}
}

// countingFile counts reads by their offset.
type countingFile struct {
	io.ReaderAt
	reads map[int64]int
}

func (f *countingFile) ReadAt(b []byte, at int64) (int, error) {
	f.reads[at]++
	return f.ReaderAt.ReadAt(b, at)
}

// TestReadFails fails every read in turn: a broken disk is not taken for a
// damaged or a foreign file.
func TestReadFails(t *testing.T) {
	broken := errors.New("input/output error")
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 2)
		for _, size := range []int{len(rec.bytes), len(rec.bytes) - 1} {
			for failAt, failed := 0, true; failed; failAt++ {
				f := &failingFile{bytes.NewReader(rec.bytes[:size]), failAt, broken}
				r, err := NewReader(f, int64(size))
				if err == nil {
					var errs []error
					if _, errs = allPackets(r, math.MinInt64, math.MaxInt64); len(errs) > 0 {
						err = errs[0]
					}
				}
				if failed = f.left < 0; failed && !errors.Is(err, broken) {
					t.Fatalf("%v: read %d fails: %v", form, failAt, err)
				}
			}
		}
	}
}

type failingFile struct {
	io.ReaderAt
	left int // reads until one fails
	err  error
}

func (f *failingFile) ReadAt(b []byte, at int64) (int, error) {
	if f.left--; f.left == -1 {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(b, at)
}

// TestReadChunkConcurrently reads all chunks from several goroutines at once.
func TestReadChunkConcurrently(t *testing.T) {
	rec := record(t, Zstd, tunrecSection, slices.Repeat([]int{10}, 50)...)
	r := open(t, rec.bytes)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			if got, errs := allPackets(r, math.MinInt64, math.MaxInt64); !slices.EqualFunc(got, rec.packets, samePacket) || errs != nil {
				t.Errorf("%d packets, %v", len(got), errs)
			}
		})
	}
	readers.Wait()
}

// TestDamageIsNoCut: whatever byte of a chunk is wrong, the file is not cut
// short there, and nobody may wait for the rest.
func TestDamageIsNoCut(t *testing.T) {
	rec := record(t, Zstd, tunrecSection, 40)
	e := rec.entries[0]
	for at := range int64(e.StoredLen) {
		file := bytes.Clone(rec.bytes)
		file[int64(e.FileOffset)+at] ^= 0xff
		r := &Reader{f: bytes.NewReader(file), header: header{form: Zstd, window: 0x50}, info: Info{Form: Zstd, Size: int64(len(file))}}
		var b Buffer
		if _, err := r.ReadChunk(e, &b); errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("byte %d of %d of the chunk is wrong: %v", at, e.StoredLen, err)
		}
	}
}

// TestReadChunkBomb: a chunk that decompresses to more than it claims is
// refused without taking the memory.
func TestReadChunkBomb(t *testing.T) {
	e := Entry{FileOffset: 0, ContentLen: 100, Packets: 1}
	var bomb [MarkLen]byte
	file := bomb[:]
	const blocks = 64 << 10 // of 128 KiB each: 8 GiB
	for range blocks {
		file = append(file, 2|byte(zstdblock.Max<<3&0xff), byte(zstdblock.Max<<3>>8&0xff), byte(zstdblock.Max<<3>>16), 0)
	}
	e.StoredLen = uint32(len(file))
	putMark(file, Zstd, &e)
	r := &Reader{f: bytes.NewReader(file), header: header{form: Zstd, window: 0x50}, info: Info{Form: Zstd, Size: int64(len(file))}}
	var b Buffer
	_, err := r.ReadChunk(e, &b)
	if c, ok := errors.AsType[*CorruptError](err); !ok || !strings.Contains(c.Reason, zstd.ErrDecoderSizeExceeded.Error()) {
		t.Fatalf("error is %v", err)
	}
	if cap(b.decoded) > 1<<20 {
		t.Fatalf("it took %d bytes", cap(b.decoded))
	}
}
