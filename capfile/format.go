// Package capfile writes one capture file and finds its way in it: a pcapng
// section of raw IP packets, cut into chunks that can each be read alone,
// with an index at the end. docs/FORMAT.md draws every byte.
//
// The file has one of three forms:
//
//   - Zstd: the section in a single zstd frame (RFC 8878), the only form of
//     zstd that every Wireshark from 4.0 on reads. The chunks are compressed
//     apart from each other and joined.
//   - Plain: the same section, marks and index included, not compressed.
//   - Stream: the section alone, for a pipe: no marks, no index.
//
// A way through the files: format.go (layouts), mark.go (how chunks are joined
// into one frame), chunk.go (compressing one), writer.go (one file), index.go
// (the index); open.go (what a file is), header.go (how it begins), walk.go
// (finding its chunks), read.go (reading them).
package capfile

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Form is how the section is laid on disk.
type Form int

const (
	Zstd   Form = iota // one zstd frame of joined chunks
	Plain              // pcapng with marks and index
	Stream             // pcapng alone
)

func (f Form) String() string {
	return [...]string{"zstd", "plain", "stream"}[f]
}

// Block types of our own, in the range for local use (0x80000000 and up,
// draft-ietf-opsawg-pcapng §3.1): readers skip them. 0x80000001 is Apple's.
const (
	BlockMark  uint32 = 0x80747201 // before each chunk
	BlockIndex uint32 = 0x80747202 // after every MaxIndexEntries chunks, and last in the file
)

// Version of the mark's and the index's layout.
const Version uint32 = 1

const (
	// EntryLen is the length of an Entry in bytes.
	EntryLen = 96
	// MarkLen is the length of a mark in bytes: of its pcapng block, and, by
	// the choice of its fields, of the zstd block that decodes to it.
	MarkLen = 136
	// MaxIndexEntries bounds an index block, so that it fits one raw zstd
	// block (128 KiB, RFC 8878 §3.1.1.2.4) and the writer's memory stays flat.
	MaxIndexEntries = 1024
	// MaxChunkLen is the longest content of a chunk in bytes: what one mark
	// can stand for, and a reader's buffer has to hold.
	MaxChunkLen = 16 << 20

	// maxCounted bounds each count of packets that were not recorded: so many do
	// not come in years, and the sums of a file cannot overflow.
	maxCounted = 1 << 48
)

// Entry describes one chunk. It stands in the mark before the chunk and, the
// same bytes, in the index. Little-endian:
//
//	 0  u64  offset of the mark in the file (Zstd: of its zstd block's header)
//	 8  u64  offset of the mark in the decompressed section
//	16  u32  length on disk, mark included
//	20  u32  length of the content, without the mark
//	24  i64  earliest time stamp, ns since 1970-01-01 00:00 UTC; 0 with no packets
//	32  i64  latest time stamp
//	40  u32  packets in the chunk
//	44  u32  method: how it was compressed, see Method
//	48  u64  original bytes of these packets, their lengths on the wire added up
//	56  u64  packets rejected by the capture filter since the chunk before
//	64  u64  packets dropped by the system's queue since then, as far as known
//	72  u64  packets dropped by the recorder since then
//	80  u64  xxh64 of the content (seed 0)
//	88  u64  xxh64 of the 88 bytes before
type Entry struct {
	FileOffset     uint64
	ContentOffset  uint64
	StoredLen      uint32
	ContentLen     uint32
	Earliest       int64
	Latest         int64
	Packets        uint32
	Method         Method
	OriginalBytes  uint64
	Filtered       uint64
	DroppedByQueue uint64
	Dropped        uint64
	Hash           uint64
}

// append appends the EntryLen bytes of e to b.
func (e *Entry) append(b []byte) []byte {
	le := binary.LittleEndian
	start := len(b)
	b = le.AppendUint64(b, e.FileOffset)
	b = le.AppendUint64(b, e.ContentOffset)
	b = le.AppendUint32(b, e.StoredLen)
	b = le.AppendUint32(b, e.ContentLen)
	b = le.AppendUint64(b, uint64(e.Earliest))
	b = le.AppendUint64(b, uint64(e.Latest))
	b = le.AppendUint32(b, e.Packets)
	b = le.AppendUint32(b, uint32(e.Method))
	b = le.AppendUint64(b, e.OriginalBytes)
	b = le.AppendUint64(b, e.Filtered)
	b = le.AppendUint64(b, e.DroppedByQueue)
	b = le.AppendUint64(b, e.Dropped)
	b = le.AppendUint64(b, e.Hash)
	return le.AppendUint64(b, xxhash.Sum64(b[start:]))
}

// maxStoredLen is how long a chunk on disk may be, mark included: with all that
// any method of compressing adds, it is not much more than its content. Readers
// take as much memory.
func maxStoredLen(contentLen uint32) uint32 { return MarkLen + contentLen + contentLen/8 + 4<<10 }

// decodeEntry reads an Entry from the first EntryLen bytes of b. It fails
// where the entry's own hash does not fit, or a length or count is out of bounds.
func decodeEntry(b []byte) (Entry, error) {
	le := binary.LittleEndian
	b = b[:EntryLen]
	if got, want := xxhash.Sum64(b[:EntryLen-8]), le.Uint64(b[EntryLen-8:]); got != want {
		return Entry{}, fmt.Errorf("entry's hash is %016x, its bytes give %016x", want, got)
	}
	e := Entry{
		FileOffset:     le.Uint64(b[0:]),
		ContentOffset:  le.Uint64(b[8:]),
		StoredLen:      le.Uint32(b[16:]),
		ContentLen:     le.Uint32(b[20:]),
		Earliest:       int64(le.Uint64(b[24:])),
		Latest:         int64(le.Uint64(b[32:])),
		Packets:        le.Uint32(b[40:]),
		Method:         Method(le.Uint32(b[44:])),
		OriginalBytes:  le.Uint64(b[48:]),
		Filtered:       le.Uint64(b[56:]),
		DroppedByQueue: le.Uint64(b[64:]),
		Dropped:        le.Uint64(b[72:]),
		Hash:           le.Uint64(b[80:]),
	}
	if e.ContentLen > MaxChunkLen || e.StoredLen < MarkLen || e.StoredLen > maxStoredLen(e.ContentLen) {
		return Entry{}, fmt.Errorf("chunk of %d bytes on disk and %d of content is out of bounds (%d)",
			e.StoredLen, e.ContentLen, MaxChunkLen)
	}
	if most := max(e.Filtered, e.DroppedByQueue, e.Dropped); most > maxCounted {
		return Entry{}, fmt.Errorf("%d packets lost or filtered before one chunk are out of bounds (%d)", most, uint64(maxCounted))
	}
	return e, nil
}
