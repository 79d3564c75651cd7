package extract

import (
	"iter"
	"math"
	"slices"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
)

// maxMerged bounds the memory of chunks that are merged, one of each file that
// has packets of the same time, and of reading on in those without index. It is
// that of some 64 files, as they commonly are, or of one with the longest window.
const maxMerged = 144 << 20

// packed puts the packets of the loaded pieces, which come by their keys, in
// order and into chunks.
func (x *extraction) packed(pieces iter.Seq[*piece]) iter.Seq[*piece] {
	return func(yield func(*piece) bool) {
		w := &weaver{packer: packer{x: x, yield: yield, left: x.Count}}
		if w.left == 0 {
			w.left = math.MaxUint64
		}
		for p := range pieces {
			if x.read += p.read; x.Progress != nil {
				x.Progress(x.read)
			}
			if p.ends != nil {
				x.err = p.ends
				return
			}
			if p.err != nil {
				x.result.Damaged++
				if x.Damaged != nil {
					x.Damaged(p.err)
				}
				p.err = nil // there may be packets before the damage
			}
			if p.chunk == nil {
				continue
			}
			if !w.drain(p.key) {
				return
			}
			p.rest = p.chunk.Content
			w.merged += p.holds()
			w.pieces = append(w.pieces, p)
			if len(w.pieces) > 1 && int64(w.merged)+x.held.Load() > maxMerged {
				x.err = errTooMany
				return
			}
		}
		if w.drain(math.MaxInt64) {
			w.flush()
		}
	}
}

// weaver merges the pieces that overlap in time.
type weaver struct {
	packer
	pieces []*piece
	merged int // bytes of memory that they hold
}

// drain puts out the packets up to a time: nothing earlier is to come. It
// returns false when it is enough.
func (w *weaver) drain(until int64) bool {
	for len(w.pieces) > 0 {
		first, second := w.heads()
		p := w.pieces[first]
		if untouched := len(p.rest) == len(p.chunk.Content); untouched && p.chunk.Latest <= min(until, second) {
			w.remove(first)
			if !w.chunk(p) {
				return false
			}
			continue
		}
		if head(p) > until {
			return true
		}
		for len(p.rest) > 0 && head(p) <= min(until, second) {
			if !w.packet(p) {
				return false
			}
		}
		if len(p.rest) == 0 {
			w.remove(first)
			w.entry.AddCounts(&p.chunk.Entry)
			p.free()
		}
	}
	return true
}

// heads finds the piece whose next packet is the earliest, and the time of the
// next one of another piece.
func (w *weaver) heads() (first int, second int64) {
	earliest := int64(math.MaxInt64)
	second = math.MaxInt64
	for i, p := range w.pieces {
		switch t := head(p); {
		case i == 0 || t < earliest:
			first, earliest, second = i, t, earliest
		default:
			second = min(second, t)
		}
	}
	return first, second
}

// head is the time of the piece's next packet; that of a piece without any has
// come.
func head(p *piece) int64 {
	if len(p.rest) == 0 {
		return math.MinInt64
	}
	packet, _, _ := pcapng.ParsePacket(p.rest) // pick has seen that it is one
	return packet.UnixNano
}

func (w *weaver) remove(i int) {
	w.merged -= w.pieces[i].holds()
	w.pieces = slices.Delete(w.pieces, i, i+1)
}

// packer puts packets into chunks.
type packer struct {
	x     *extraction
	yield func(*piece) bool
	left  uint64 // packets that are still to be taken

	memory *memory
	slab   []byte // the packets; nil: none yet
	took   uint64 // bytes, see extraction.took
	entry  capfile.Entry
}

// chunk takes a piece as it is, where that makes no small chunks, as with a filter it
// might do for each. Like packet, it returns false when it is enough.
func (k *packer) chunk(p *piece) bool {
	content := p.chunk.Content
	fits := k.slab != nil && len(k.slab)+len(content) <= slabBytes
	small := !p.whole && (len(content) < slabBytes/2 || k.x.Match != nil)
	if uint64(p.chunk.Packets) >= k.left || fits || k.x.format.repacks() || small {
		for p.rest = content; len(p.rest) > 0; {
			if !k.packet(p) {
				return false
			}
		}
		k.entry.AddCounts(&p.chunk.Entry)
		p.free()
		return true
	}
	k.left -= uint64(p.chunk.Packets)
	p.ready = p.whole && k.x.out.takes(p)
	p.dense = dense(k.x.took(p, len(content)), len(content))
	return k.flush() && k.yield(p)
}

// packet takes the next packet of a piece.
func (k *packer) packet(p *piece) bool {
	packet, n, _ := pcapng.ParsePacket(p.rest)
	room := k.x.format.chunkBytes()
	if k.slab != nil && len(k.slab)+n > room && !k.flush() {
		return false
	}
	if k.slab == nil {
		k.memory = memories.get()
		if need := max(room, n); cap(k.memory.slab) < need {
			k.memory.slab = make([]byte, need) // slices.Grow would write to all of it
		}
		k.slab = k.memory.slab[:0]
	}
	k.slab = append(k.slab, p.rest[:n]...)
	k.entry.Add(packet.UnixNano, packet.OrigLen)
	k.took += k.x.took(p, n)
	p.rest = p.rest[n:]
	if k.left--; k.left == 0 {
		k.entry.AddCounts(&p.chunk.Entry)
		k.flush()
		return false
	}
	return true
}

// flush puts out what has been put together.
func (k *packer) flush() bool {
	if k.slab == nil && k.entry == (capfile.Entry{}) {
		return true
	}
	if k.slab == nil { // counts alone
		k.memory = memories.get()
		k.slab = k.memory.slab[:0]
	}
	k.memory.slab = k.slab
	p := &piece{chunk: &capfile.Chunk{Entry: k.entry, Content: k.slab}, memory: k.memory}
	p.dense = dense(k.took, len(k.slab))
	k.memory, k.slab, k.took, k.entry = nil, nil, 0, capfile.Entry{}
	return k.yield(p)
}

// took is about how many bytes a part of a piece took in its file, if it was
// compressed there. With a filter it is not known: it may take those that do compress.
func (x *extraction) took(p *piece, contentLen int) uint64 {
	e := &p.entry
	if e.Method == capfile.Stored || x.Match != nil {
		return 0
	}
	return uint64(contentLen) * uint64(e.StoredLen) / uint64(max(e.ContentLen, 1))
}

// dense tells whether content was compressed, and became hardly shorter.
func dense(took uint64, contentLen int) bool { return took > uint64(contentLen)/16*15 }
