package capfile

import (
	"fmt"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// salvage makes a chunk of the packets that are whole in one that the end of
// the file has cut. Nothing but their form tells that they are right: the
// chunk's hash is that of all of it.
func (r *Reader) salvage(c *checked, f Form) (*Chunk, error) {
	e := c.entry
	here := e
	here.FileOffset, here.StoredLen = uint64(c.at), uint32(c.end-c.at)
	whole, err := r.readStored(&here, c.buf)
	if err != nil {
		return nil, err
	}
	if r.info.Form == Zstd {
		blocks := whole[zstdHeaderLen:][:here.StoredLen]
		putMark(blocks, Zstd, &e)
		whole = zstdblock.AppendRaw(whole[:zstdHeaderLen+wholeBlocks(blocks)], nil, true)
		if whole, err = decompress(whole, &here, c.buf); err != nil {
			whole = make([]byte, MarkLen) // it is damaged, too
		}
	}
	chunk := &Chunk{Entry: Entry{Filtered: e.Filtered, DroppedByQueue: e.DroppedByQueue, Dropped: e.Dropped}}
	content := whole[MarkLen:]
	at := 0
	for chunk.Packets < e.Packets {
		p, total, ok := pcapng.ParsePacket(content[at:])
		if !ok || !validPacket(p, content[at:at+total]) {
			break
		}
		chunk.Add(p.UnixNano, p.OrigLen)
		at += total
	}
	chunk.Content = content[:at]
	if f != Zstd {
		chunk.Hash()
		return chunk, nil
	}
	z := NewCompressor(0) // its window suits every file, also the one that is repaired in place
	if err := z.Compress(chunk, Fastest, make([]byte, 0, EncodedCap(at))); err != nil {
		return nil, fmt.Errorf("compress the last chunk: %w", err)
	}
	return chunk, nil
}

// countsChunk makes a chunk without packets: of counts that belong to none.
func countsChunk(counts Entry, f Form) *Chunk {
	c := &Chunk{Entry: counts}
	c.Hash()
	if f == Zstd {
		c.encoded = make([]byte, MarkLen)
	}
	return c
}

// wholeBlocks returns how many bytes at the start of b are whole zstd blocks.
// Of a raw block that is cut it makes one of what is there, as a streaming
// decoder would see it.
func wholeBlocks(b []byte) int {
	at := 0
	for len(b)-at >= zstdblock.HeaderLen {
		kind, size, last := zstdblock.Header(b[at:])
		next := at + zstdblock.HeaderLen + size
		switch {
		case last:
			return at
		case next > len(b) && kind == zstdblock.Raw:
			zstdblock.PutHeader(b[at:], zstdblock.Raw, len(b)-at-zstdblock.HeaderLen)
			return len(b)
		case next > len(b):
			return at
		}
		at = next
	}
	return at
}
