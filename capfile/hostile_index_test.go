package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// hostileSizes are those at which numbers change their sign or their length.
var hostileSizes = []uint64{1 << 31, 1<<31 - 1, 1 << 32, 1<<32 - 1, 1 << 62, 1 << 63, 1<<63 - 1, math.MaxUint64 - 1, math.MaxUint64}

// with64 and with32 put a number into an index and make its hashes fit.
func (h hostileFile) with64(at int, v uint64) []byte {
	file := bytes.Clone(h.bytes)
	binary.LittleEndian.PutUint64(file[at:], v)
	h.seal(file)
	return file
}

func (h hostileFile) with32(at int, v uint64) []byte {
	file := bytes.Clone(h.bytes)
	binary.LittleEndian.PutUint32(file[at:], uint32(v))
	h.seal(file)
	return file
}

// hostileFile is a recording with more than one index block, and where these are.
type hostileFile struct {
	recording
	blocks []int // the first one first
}

func newHostileFile(t *testing.T, form Form) hostileFile {
	t.Helper()
	perChunk := make([]int, 2*MaxIndexEntries+2)
	perChunk[0], perChunk[1], perChunk[2*MaxIndexEntries+1] = 3, 4, 5
	h := hostileFile{recording: record(t, form, tunrecSection, perChunk...)}
	err := eachIndexBlock(bytes.NewReader(h.bytes), form, int64(len(h.bytes)), func(b *indexBlock) error {
		h.blocks = append([]int{int(b.at)}, h.blocks...)
		return nil
	})
	if err != nil || len(h.blocks) != 3 {
		t.Fatalf("%d index blocks, %v", len(h.blocks), err)
	}
	return h
}

// seal makes the hashes of all entries and index blocks fit, as a stranger can.
func (h hostileFile) seal(file []byte) {
	le := binary.LittleEndian
	for _, at := range h.blocks {
		length := int(le.Uint32(h.bytes[at+4:])) // as it was
		block := file[at : at+length-4]
		for e := indexHeaderLen; e+EntryLen <= len(block); e += EntryLen {
			le.PutUint64(block[e+EntryLen-8:], xxhash.Sum64(block[e:e+EntryLen-8]))
		}
		le.PutUint64(block[48:], indexHash(block))
	}
}

// TestHostileIndex: whatever an index claims, with hashes that fit, all that reads a
// file ends, gives no packet that was not recorded, and of those of good chunks all.
func TestHostileIndex(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		h := newHostileFile(t, form)
		first, second, last := h.blocks[0], h.blocks[1], h.blocks[2]
		entry := func(block, n int) int { return block + indexHeaderLen + n*EntryLen }
		files := map[string][]byte{
			"a block before itself":       h.with64(last+16, uint64(last)),
			"two blocks before another":   h.with64(second+16, uint64(last)),
			"a circle of all":             h.with64(first+16, uint64(last)),
			"a circle of two":             h.with64(first+16, uint64(second)),
			"itself in the middle":        h.with64(second+16, uint64(second)),
			"one too far":                 h.with64(last+16, uint64(first)),
			"inside of a block":           h.with64(last+16, uint64(second+8)),
			"all chunks are one":          nil,
			"chunks in one another":       nil,
			"chunks in the wrong order":   nil,
			"a chunk over an index":       h.with64(entry(second, 0), uint64(first)),
			"a chunk over the header":     h.with64(entry(first, 0), 0),
			"a chunk over the last index": h.with64(entry(last, 1), uint64(last)),
		}
		one, in, wrong := bytes.Clone(h.bytes), bytes.Clone(h.bytes), bytes.Clone(h.bytes)
		le := binary.LittleEndian
		for i := range MaxIndexEntries {
			copy(one[entry(first, i):][:EntryLen], h.bytes[entry(first, 0):])
			le.PutUint64(in[entry(first, i):], uint64(h.header+i))
			copy(wrong[entry(first, i):][:EntryLen], h.bytes[entry(first, MaxIndexEntries-1-i):])
		}
		h.seal(one)
		h.seal(in)
		h.seal(wrong)
		files["all chunks are one"], files["chunks in one another"], files["chunks in the wrong order"] = one, in, wrong
		for _, v := range hostileSizes {
			for name, at := range map[string]int{
				"previous": last + 16, "previous of the first": first + 16, "first": second + 24, "statistics": last + 32,
				"content offset of the block": second + 40, "file offset": entry(first, 1), "content offset": entry(first, 1) + 8,
				"earliest": entry(first, 1) + 24, "latest": entry(first, 1) + 32, "original bytes": entry(first, 1) + 48,
				"filtered": entry(first, 1) + 56, "dropped by the queue": entry(first, 1) + 64, "dropped": entry(first, 1) + 72,
			} {
				files[fmt.Sprintf("%s %#x", name, v)] = h.with64(at, v)
			}
			for name, at := range map[string]int{
				"entries": last + 12, "length": last + 4, "length of the first": first + 4, "stored": entry(first, 1) + 16,
				"content": entry(first, 1) + 20, "packets": entry(first, 1) + 40, "method": entry(first, 1) + 44,
			} {
				files[fmt.Sprintf("%s %#x", name, uint32(v))] = h.with32(at, v)
			}
		}
		for name, file := range files {
			t.Run(fmt.Sprintf("%v/%s", form, name), func(t *testing.T) { h.readAll(t, file) })
		}
	}
}

// readAll has all that reads files read one. They may call it damaged.
func (h hostileFile) readAll(t *testing.T, file []byte) {
	size := int64(len(file))
	r, err := NewReader(bytes.NewReader(file), size)
	if err != nil {
		t.Fatal(err) // the header is good, and so are the marks
	}
	if n := r.Info().Chunks; n > uint64(len(h.entries)) {
		t.Fatalf("%d chunks, there are %d", n, len(h.entries))
	}
	got, _ := allPackets(r, math.MinInt64, math.MaxInt64)
	at := 0
	for _, p := range got { // a part of what was recorded, in order
		for at < len(h.packets) && !samePacket(p, h.packets[at]) {
			at++
		}
		if at++; at > len(h.packets) {
			t.Fatalf("%d packets, and one of them was not recorded", len(got))
		}
	}
	if _, err := Verify(bytes.NewReader(file), size, VerifyOptions{}); err != nil {
		checkKind(t, err)
	}
	rep, _, repaired, _ := repair(t, file)
	if len(repaired) != len(h.packets) {
		t.Errorf("repair has %d packets of %d, and says %+v", len(repaired), len(h.packets), rep)
	}
	changed := &inPlaceMemory{bytes: bytes.Clone(file)}
	if _, err := RepairInPlace(changed, size, RepairOptions{}); err != nil && !errors.Is(err, ErrDamagedInside) {
		checkKind(t, err)
	}
}
