package capfile

import (
	"bytes"
	"errors"

	"github.com/tunrec/tunrec/internal/zstdblock"
)

// LoadChunk reads the chunk that e, which Chunks has returned, describes, and
// checks it as ReadChunk does. The Chunk stands in the memory of b.
//
// Of a file of the zstd form it is ready to be written to another one as it
// is, without being compressed again, where that one's window is no smaller
// than WindowBytes. For other forms call Chunk.Hash or Compressor.Compress
// first.
func (r *Reader) LoadChunk(e Entry, b *Buffer) (*Chunk, error) {
	content, err := r.readChunk(&e, b)
	if err != nil {
		return nil, r.named(err)
	}
	if r.info.Form != Zstd {
		return &Chunk{Entry: e, Content: content}, nil
	}
	encoded := b.stored[zstdHeaderLen:][:e.StoredLen]
	// Other blocks may decode to the mark, too; WriteChunk writes over its bytes.
	var mark [MarkLen]byte
	if putMark(mark[:], Zstd, &e); !bytes.HasPrefix(encoded, mark[:]) {
		return nil, r.named(corrupt(int64(e.FileOffset), "the mark of a chunk should be there"))
	}
	if err := checkBlocks(encoded); err != nil {
		return nil, r.named(corrupt(int64(e.FileOffset), "the chunk that begins there %w", err))
	}
	return &Chunk{Entry: e, Content: content, encoded: encoded}, nil
}

// WindowBytes returns the window that a file needs which takes this one's
// chunks as they are, see Config; 0: this one is not of the zstd form.
func (r *Reader) WindowBytes() int {
	if r.info.Form != Zstd {
		return 0
	}
	exponent, mantissa := r.header.window>>3, int(r.header.window&7) // RFC 8878 §3.1.1.1.2
	base := 1 << (10 + exponent)
	return WindowBytes(base + base/8*mantissa)
}

// checkBlocks refuses zstd blocks that cannot stand in the middle of a frame:
// a chunk may decode alone, and yet end the frame that it is copied into.
func checkBlocks(b []byte) error {
	for at := 0; at < len(b); {
		if len(b)-at < zstdblock.HeaderLen {
			return errors.New("ends inside a zstd block header")
		}
		_, size, last := zstdblock.Header(b[at:])
		at += zstdblock.HeaderLen + size
		if last || at > len(b) {
			return errors.New("has a zstd block that ends the frame or goes beyond the chunk")
		}
	}
	return nil
}
