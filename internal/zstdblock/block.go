// Package zstdblock makes and reads the blocks of a zstd frame (RFC 8878 §3.1.1.2): their
// headers, raw blocks, what is needed to join frames, and a coder of its own for packets
// whose payload is noise.
//
//	block.go      headers, raw blocks, taking a frame apart
//	encoder.go    compresses: by a library, or as noise
//	noise.go      decides which chunks are coded here
//	packets.go    finds what packets have in common with the one before of their flow
//	sequences.go  writes that down as a sequences section; fse.go is its entropy coding
package zstdblock

import (
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// The header of a block: 1 bit last, 2 bits type, 21 bits size, little-endian.
const (
	Raw        = 0 << 1 // types
	RLE        = 1 << 1
	Compressed = 2 << 1
	Last       = 1         // the frame ends behind the block
	HeaderLen  = 3         // bytes
	Max        = 128 << 10 // bytes that a block decodes to, with a window as large or larger
)

// PutHeader writes the header of a block of that type and size, with Last where the
// frame ends behind it, to b[:HeaderLen].
func PutHeader(b []byte, kind, size int) {
	v := kind | size<<3
	b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16)
}

// Header reads the header of a block: its type, how many bytes follow it,
// and whether the frame ends behind them.
func Header(b []byte) (kind, size int, last bool) {
	v := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	kind, size = v&6, v>>3
	if kind == RLE { // one byte, repeated size times
		size = 1
	}
	return kind, size, v&Last != 0
}

// AppendStored appends content to b as raw zstd blocks.
func AppendStored(b, content []byte) []byte {
	for piece := range slices.Chunk(content, Max) {
		b = AppendRaw(b, piece, false)
	}
	return b
}

// AppendRaw appends a raw zstd block, of at most Max bytes.
func AppendRaw(b, content []byte, last bool) []byte {
	kind := Raw
	if last {
		kind |= Last
	}
	b = append(b, 0, 0, 0)
	PutHeader(b[len(b)-HeaderLen:], kind, len(content))
	return append(b, content...)
}

// joinable takes the zstd frame at the start of frame apart: it returns where
// its blocks begin, after clearing the last-block bit of the last one, so that
// they can stand after a mark in a longer frame, and how many bytes of literals
// entropy coding could do nothing for. The frame has to be whole, with neither
// checksum nor dictionary, and nothing after it.
func joinable(frame []byte) (blocks, rawLiterals int, err error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return 0, 0, fmt.Errorf("zstd frame header: %w", err)
	}
	if h.Skippable || h.HasCheckSum || h.DictionaryID != 0 {
		return 0, 0, errors.New("zstd frame has a checksum or a dictionary, or is to be skipped")
	}
	for at := h.HeaderSize; ; {
		if len(frame)-at < HeaderLen {
			return 0, 0, fmt.Errorf("zstd frame ends inside a block header at byte %d of %d", at, len(frame))
		}
		kind, size, last := Header(frame[at:])
		next := at + HeaderLen + size
		if next <= len(frame) {
			rawLiterals += literals(kind, frame[at+HeaderLen:next])
		}
		if last {
			if next != len(frame) {
				return 0, 0, fmt.Errorf("zstd frame ends at byte %d of %d", next, len(frame))
			}
			frame[at] &^= Last
			return h.HeaderSize, rawLiterals, nil
		}
		at = next
	}
}

// literals returns how many bytes of literals a block of that type holds as they
// are (RFC 8878 §3.1.1.3.1.1).
func literals(kind int, block []byte) (raw int) {
	switch {
	case kind == Raw:
		return len(block)
	case kind == RLE, len(block) < 3: // too short for literals that matter
		return 0
	case block[0]&3 != 0: // no Raw_Literals_Block
		return 0
	}
	size := int(block[0]) | int(block[1])<<8 | int(block[2])<<16
	switch size >> 2 & 3 { // Size_Format
	case 1:
		return size & 0xffff >> 4
	case 3:
		return size >> 4
	}
	return size & 0xff >> 3
}
