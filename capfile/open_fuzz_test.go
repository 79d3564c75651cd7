package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// FuzzOpen gives a Reader files from strangers. With seal, the hashes that
// guard marks and index are put right after the fuzzer's changes: a stranger
// can do so, too.
func FuzzOpen(f *testing.F) {
	for _, form := range []Form{Zstd, Plain} {
		for _, perChunk := range [][]int{{}, {1}, {3, 0, 20}} {
			rec := record(f, form, tunrecSection, perChunk...)
			for _, seal := range []bool{false, true} {
				f.Add(rec.bytes, seal)
				f.Add(rec.bytes[:len(rec.bytes)*3/4], seal)
			}
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, seal bool) {
		if seal {
			sealHashes(file)
		}
		if _, err := Identify(bytes.NewReader(file)); err != nil {
			checkKind(t, err)
		}
		r, err := NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			checkKind(t, err)
			return
		}
		i := r.Info()
		if i.Chunks*MarkLen > uint64(len(file)) {
			t.Fatalf("%d chunks in a file of %d bytes", i.Chunks, len(file))
		}
		entries, errs := allChunks(r)
		if uint64(len(entries)) != i.Chunks || errs != nil {
			t.Fatalf("%d chunks of %d, %v", len(entries), i.Chunks, errs)
		}
		for p, err := range r.Packets(math.MinInt64, math.MaxInt64) {
			if err != nil {
				checkKind(t, err)
			} else if len(p.Data) > MaxChunkLen {
				t.Fatalf("packet of %d bytes", len(p.Data))
			}
		}
		fuzzTail(t, file)
	})
}

// fuzzTail follows the file as if it grew to its size in two steps.
func fuzzTail(t *testing.T, file []byte) {
	tail, err := NewTail(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err) // NewReader has read the header, too
	}
	size, b := int64(len(file)), new(Buffer)
	for _, size := range []int64{size / 2, size} {
		for chunks := int64(0); ; chunks++ {
			_, err := tail.Next(size, b)
			if chunks*MarkLen > size {
				t.Fatalf("%d chunks in %d bytes", chunks, size)
			}
			if err == nil {
				continue
			}
			checkKind(t, err)
			if errors.Is(err, io.ErrUnexpectedEOF) || !tail.Skip() {
				break
			}
		}
	}
}

func checkKind(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*CorruptError](err); !ok && !errors.Is(err, ErrForeign) {
		t.Fatalf("error of another kind: %v", err)
	}
}

// sealHashes makes the hashes of all marks and of the last index block fit.
func sealHashes(file []byte) {
	le := binary.LittleEndian
	sealEntry := func(b []byte) {
		if len(b) >= EntryLen {
			le.PutUint64(b[EntryLen-8:], xxhash.Sum64(b[:EntryLen-8]))
		}
	}
	for _, head := range [][]byte{markHead[:], zstdMarkHead[:]} {
		for at := 0; ; {
			i := bytes.Index(file[at:], head)
			if i < 0 {
				break
			}
			at += i + len(head)
			sealEntry(file[at:])
		}
	}
	for _, end := range []int{len(file), len(file) - zstdChecksumLen} {
		if end < indexOverhead {
			continue
		}
		length := int(le.Uint32(file[end-4:]))
		if length < indexOverhead || length > end || le.Uint32(file[end-length:]) != BlockIndex {
			continue
		}
		block := file[end-length : end-4]
		for at := indexHeaderLen; at+EntryLen <= len(block); at += EntryLen {
			sealEntry(block[at:])
		}
		le.PutUint64(block[48:], indexHash(block))
	}
}
