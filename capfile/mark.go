package capfile

import (
	"encoding/binary"

	"github.com/tunrec/tunrec/internal/zstdblock"
)

// How chunks that were compressed apart become one zstd frame.
//
// A zstd block may refer to three things that blocks before it left behind:
// decompressed bytes within the window, entropy tables, and the three offsets
// most lately used, "repeat offsets" (RFC 8878 §3.1.1.5). The first block of
// an encoder that starts afresh refers to no earlier bytes and no earlier
// tables, but it may take the repeat offsets for 1, 4 and 8, as they are at
// the start of a frame. So a chunk may follow anything once these three are
// set again: by the mark, a compressed block written here by hand, whose
// three matches have the offsets 8, 4 and 1, in that order.
//
// The mark decodes to a pcapng block for local use, and takes the same number
// of bytes either way:
//
//	decoded                                        zstd block (RFC 8878 §3.1.1.2)
//	  0  u32  block type BlockMark                   0  3 bytes  block header: not last, compressed, 133 bytes
//	  4  u32  block total length 136                 3  2 bytes  literals header: raw, 124 bytes
//	  8  u32  block type again     ← match 8         5  bytes 0…8 of the left side
//	 12  4    "trec"                                13  bytes 12…20
//	 16  u32  version 1                             21  bytes 24…32
//	 20  u32  version again        ← match 4        29  bytes 36…136: entry and total length
//	 24  8    zero                                 129  1 byte   three sequences
//	 32  4    zero                 ← match 1       130  1 byte   tables: literal lengths RLE, offsets predefined, match lengths RLE
//	 36  96   entry                                131  2 bytes  literal length 8, match length 4
//	132  u32  block total length 136               133  3 bytes  the offsets' bit stream
//
// The first 29 bytes of the zstd block are the same in every file: where a
// file is damaged, a reader finds the next chunk by searching for them.
const (
	markEntryAt  = 36
	markLiterals = 8 + 8 + 8 + EntryLen + 4

	zstdMarkEntryAt = 29
)

// markHead is the first 36 bytes of a mark, decoded.
var markHead = func() (h [markEntryAt]byte) {
	le := binary.LittleEndian
	le.PutUint32(h[0:], BlockMark)
	le.PutUint32(h[4:], MarkLen)
	le.PutUint32(h[8:], BlockMark)
	copy(h[12:], "trec")
	le.PutUint32(h[16:], Version)
	le.PutUint32(h[20:], Version)
	return h
}()

// zstdMarkHead is the first 29 bytes of a mark as a zstd block.
var zstdMarkHead = func() (h [zstdMarkEntryAt]byte) {
	zstdblock.PutHeader(h[:], zstdblock.Compressed, MarkLen-zstdblock.HeaderLen)
	const raw12bits = 0 | 1<<2 // Raw_Literals_Block, Size_Format 01
	binary.LittleEndian.PutUint16(h[3:], raw12bits|markLiterals<<4)
	copy(h[5:], markHead[0:8])
	copy(h[13:], markHead[12:20])
	copy(h[21:], markHead[24:32])
	return h
}()

// zstdMarkTail is its last 7 bytes, the sequences section
// (RFC 8878 §3.1.1.3.2). The bit stream is read from its last bit backwards;
// of the three states only the offsets' takes bits. In the predefined table
// for offset codes (RFC 8878 appendix A) code 3 has state 5 and code 2 has
// state 14, and both are left by reading 5 bits. The value that is coded is
// the offset + 3:
//
//	01       padding and end mark
//	00101    state 5: code 3, values 8 to 15      011  8 + 3 = 11: offset 8
//	01110    state 14: code 2, values 4 to 7       11  4 + 3 = 7: offset 4
//	01110    state 14                              00  4 + 0 = 4: offset 1
var zstdMarkTail = [7]byte{
	3,                // sequences
	1<<6 | 1<<2,      // RLE, predefined (0), RLE
	8,                // literal length code 8: 8 bytes before each match
	1,                // match length code 1: 4 bytes
	0xb8, 0xdd, 0x4a, // 01 00101 011 01110 11 01110 00, lowest byte first
}

// putMark writes the mark with entry e into b[:MarkLen], as it stands in a
// file of the given form: Zstd, or Plain.
func putMark(b []byte, f Form, e *Entry) {
	if f == Plain {
		copy(b, markHead[:])
		e.append(b[:markEntryAt])
		binary.LittleEndian.PutUint32(b[MarkLen-4:], MarkLen)
		return
	}
	copy(b, zstdMarkHead[:])
	b = e.append(b[:zstdMarkEntryAt])
	b = binary.LittleEndian.AppendUint32(b, MarkLen)
	copy(b[len(b):cap(b)], zstdMarkTail[:])
}
