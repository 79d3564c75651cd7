package capfile

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/tunrec/tunrec/pcapng"
)

// loadAt reads the chunk of entry e, which stands at byte at even if e says
// otherwise, and checks it against its hash. Its mark is not looked at: e may
// come from the index. The Chunk can be written to a file of the same form.
func (r *Reader) loadAt(at int64, e Entry, b *Buffer) (*Chunk, error) {
	here := e
	here.FileOffset = uint64(at)
	if int64(e.StoredLen) > r.info.Size-at {
		return nil, cutShort(at, "the chunk that begins there is not whole")
	}
	whole, err := r.readStored(&here, b)
	if err != nil {
		return nil, corrupt(at, "%w", err)
	}
	c := &Chunk{Entry: e}
	if r.info.Form == Zstd {
		c.encoded = whole[zstdHeaderLen:][:e.StoredLen]
		if err := checkBlocks(c.encoded); err != nil {
			return nil, corrupt(at, "the chunk that begins there %w", err)
		}
		putMark(c.encoded, Zstd, &e)
		if whole, err = decompress(whole, &here, b); err != nil {
			return nil, err
		}
	}
	if len(whole) != MarkLen+int(e.ContentLen) {
		return nil, corrupt(at, "the chunk that begins there has %d bytes, its mark says %d", len(whole), MarkLen+int(e.ContentLen))
	}
	c.Content = whole[MarkLen:]
	if got := xxhash.Sum64(c.Content); got != e.Hash {
		return nil, corrupt(at, "the hash of the chunk that begins there is %016x, its bytes give %016x", e.Hash, got)
	}
	return c, nil
}

// timeOrder is how the time stamps of a chunk follow each other.
type timeOrder struct {
	first, last int64
	backward    uint64 // packets stamped earlier than the one before
	firstBack   uint32 // the first of them, counted from 0
}

// checkPackets checks every block of a chunk, and what its entry says of them.
func (c *Chunk) checkPackets() (o timeOrder, err error) {
	var sum Entry
	content := c.Content
	for at := 0; at < len(content); {
		p, total, ok := pcapng.ParsePacket(content[at:])
		if ok {
			ok = validPacket(p, content[at:at+total])
		}
		if !ok {
			return o, fmt.Errorf("packet %d of the chunk, at byte %d of its content: no whole packet block", sum.Packets+1, at)
		}
		if sum.Packets == 0 {
			o.first, o.last = p.UnixNano, p.UnixNano
		}
		if p.UnixNano < o.last {
			if o.backward == 0 {
				o.firstBack = sum.Packets
			}
			o.backward++
		}
		o.last = p.UnixNano
		sum.Add(p.UnixNano, p.OrigLen)
		at += total
	}
	e := &c.Entry
	if sum.Packets != e.Packets || sum.OriginalBytes != e.OriginalBytes || sum.Earliest != e.Earliest || sum.Latest != e.Latest {
		return o, fmt.Errorf("it holds %d packets of %d bytes from %d to %d, its mark says %d of %d bytes from %d to %d",
			sum.Packets, sum.OriginalBytes, sum.Earliest, sum.Latest, e.Packets, e.OriginalBytes, e.Earliest, e.Latest)
	}
	return o, nil
}

// maxPacketLen is the longest packet that is recorded (docs/FORMAT.md).
const maxPacketLen = 262144

// validPacket checks what ParsePacket does not.
func validPacket(p pcapng.PacketBlock, block []byte) bool {
	le := binary.LittleEndian
	const interfaceAt = 8
	return le.Uint32(block[interfaceAt:]) == 0 && le.Uint32(block[len(block)-4:]) == uint32(len(block)) &&
		p.CapLen <= maxPacketLen && p.OrigLen >= p.CapLen
}
