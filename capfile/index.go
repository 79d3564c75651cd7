package capfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/tunrec/tunrec/pcapng"
)

// An index block lists up to MaxIndexEntries chunks. The last one is the last
// thing in the section, so that its trailing length is found from the end of
// the file; each names the one before. Little-endian:
//
//	 0  u32  block type BlockIndex
//	 4  u32  block total length, 60 + 96 × entries
//	 8  u32  version 1
//	12  u32  entries in this block
//	16  u64  offset in the file of the index block before, 0 where there is none
//	24  u64  number of this block's first entry, counted from 0 in the file
//	32  u64  offset in the file of the Interface Statistics Block, 0 in all but the last block
//	40  u64  offset in the section of this block
//	48  u64  xxh64 of bytes 0 to 48 and of the entries
//	56  …    entries, EntryLen bytes each
//	 …  u32  block total length
//
// In the zstd form each index block, and the statistics block, fills one raw
// zstd block, and offsets in the file are those of the pcapng bytes in it.
const (
	indexHeaderLen   = 56
	indexOverhead    = indexHeaderLen + 4
	maxIndexBlockLen = indexOverhead + MaxIndexEntries*EntryLen
)

type indexHeader struct {
	previous      uint64
	first         uint64
	statistics    uint64
	contentOffset uint64
}

func appendIndexBlock(b []byte, h indexHeader, entries []Entry) []byte {
	le := binary.LittleEndian
	total := uint32(indexOverhead + len(entries)*EntryLen)
	start := len(b)
	b = le.AppendUint32(b, BlockIndex)
	b = le.AppendUint32(b, total)
	b = le.AppendUint32(b, Version)
	b = le.AppendUint32(b, uint32(len(entries)))
	b = le.AppendUint64(b, h.previous)
	b = le.AppendUint64(b, h.first)
	b = le.AppendUint64(b, h.statistics)
	b = le.AppendUint64(b, h.contentOffset)
	b = le.AppendUint64(b, 0)
	for i := range entries {
		b = entries[i].append(b)
	}
	le.PutUint64(b[start+48:], indexHash(b[start:]))
	return le.AppendUint32(b, total)
}

// indexHash is the hash of an index block without its trailing length.
func indexHash(b []byte) uint64 {
	d := xxhash.New()
	d.Write(b[:48])
	d.Write(b[indexHeaderLen:])
	return d.Sum64()
}

// decodeIndexBlock reads a whole index block. The entries stand in the memory of
// those given.
func decodeIndexBlock(b []byte, entries []Entry) (indexHeader, []Entry, error) {
	le := binary.LittleEndian
	if len(b) < indexOverhead || le.Uint32(b) != BlockIndex {
		return indexHeader{}, nil, errors.New("no index block there")
	}
	if v := le.Uint32(b[8:]); v != Version {
		return indexHeader{}, nil, fmt.Errorf("index has version %d, known is %d", v, Version)
	}
	n := int64(le.Uint32(b[12:]))
	if want := indexOverhead + n*EntryLen; n > MaxIndexEntries || int64(len(b)) != want ||
		int64(le.Uint32(b[4:])) != want || int64(le.Uint32(b[len(b)-4:])) != want {
		return indexHeader{}, nil, fmt.Errorf("index block of %d bytes claims %d entries", len(b), n)
	}
	if got, want := indexHash(b[:len(b)-4]), le.Uint64(b[48:]); got != want {
		return indexHeader{}, nil, fmt.Errorf("index block's hash is %016x, its bytes give %016x", want, got)
	}
	h := indexHeader{
		previous: le.Uint64(b[16:]), first: le.Uint64(b[24:]),
		statistics: le.Uint64(b[32:]), contentOffset: le.Uint64(b[40:]),
	}
	entries = slices.Grow(entries[:0], int(n))[:n]
	for i := range entries {
		var err error
		if entries[i], err = decodeEntry(b[indexHeaderLen+i*EntryLen:]); err != nil {
			return indexHeader{}, nil, fmt.Errorf("index entry %d: %w", h.first+uint64(i), err)
		}
	}
	return h, entries, nil
}

// ErrNoIndex: the file ends without an index. It was cut short, is still being
// written, or was not made by tunrec.
var ErrNoIndex = errors.New("no index at the end of the file")

// indexBlock is an index block and where it begins in the file.
type indexBlock struct {
	indexHeader
	at      int64
	entries []Entry
	raw     []byte
}

// eachIndexBlock calls each for all index blocks of a file, the last one first,
// which are valid until it returns. An error of each ends it.
func eachIndexBlock(f io.ReaderAt, form Form, size int64, each func(*indexBlock) error) error {
	end := size // where the last index block ends
	if form == Zstd {
		end -= zstdChecksumLen
	}
	at, length, err := lastIndexBlock(f, end)
	if err != nil {
		return err
	}
	listed := uint64(0) // the number of the first entry of the block behind this one
	var b indexBlock
	for last := true; ; last = false {
		if err := b.read(f, at, length); err != nil {
			return err
		}
		if last && b.statistics == 0 {
			return ErrNoIndex // not the last block: a plain file was cut short right behind it
		}
		if !last && b.first+uint64(len(b.entries)) != listed {
			return corrupt(at, "the index block lists chunks from number %d on, the one behind it from %d", b.first, listed)
		}
		listed = b.first
		if b.previous == 0 && listed != 0 {
			return corrupt(at, "the first index block lists chunks from number %d on", listed)
		}
		// Blocks before the last one are full, and each stands before the next.
		if b.previous > uint64(max(at-maxIndexBlockLen, 0)) {
			return corrupt(at, "the index block before it is said to be at byte %d", b.previous)
		}
		if err := each(&b); err != nil || b.previous == 0 {
			return err
		}
		at, length = int64(b.previous), maxIndexBlockLen
	}
}

// read reads the index block of that length at byte at, in the memory of the one
// that b was.
func (b *indexBlock) read(f io.ReaderAt, at, length int64) (err error) {
	b.raw = slices.Grow(b.raw[:0], int(length))[:length]
	if _, err := f.ReadAt(b.raw, at); err != nil {
		return fmt.Errorf("read the index at byte %d: %w", at, err)
	}
	if b.indexHeader, b.entries, err = decodeIndexBlock(b.raw, b.entries); err != nil {
		return corrupt(at, "%w", err)
	}
	b.at = at
	return nil
}

// lastIndexBlock finds the index block that ends at byte end of f.
func lastIndexBlock(f io.ReaderAt, end int64) (at, length int64, err error) {
	var b [4]byte
	if end < indexOverhead {
		return 0, 0, ErrNoIndex
	}
	if _, err := f.ReadAt(b[:], end-4); err != nil {
		return 0, 0, fmt.Errorf("read the end of the file: %w", err)
	}
	length = int64(binary.LittleEndian.Uint32(b[:]))
	if length < indexOverhead || length > maxIndexBlockLen || length > end {
		return 0, 0, ErrNoIndex
	}
	if _, err := f.ReadAt(b[:], end-length); err != nil {
		return 0, 0, fmt.Errorf("read the end of the file: %w", err)
	}
	if binary.LittleEndian.Uint32(b[:]) != BlockIndex {
		return 0, 0, ErrNoIndex
	}
	return end - length, length, nil
}

// readForm tells the form of a file by its first bytes.
func readForm(f io.ReaderAt) (Form, error) {
	var b [4]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return 0, fmt.Errorf("read the first bytes: %w", err)
	}
	switch binary.LittleEndian.Uint32(b[:]) {
	case zstdMagic:
		return Zstd, nil
	case pcapng.BlockSectionHeader:
		return Plain, nil
	}
	return 0, fmt.Errorf("%w: neither zstd nor pcapng, it begins with % x", ErrForeign, b)
}
