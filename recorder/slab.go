package recorder

import (
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/tun"
)

// slab is a chunk on its way. It has one owner at a time: the reader fills it,
// a worker compresses it, if it is to be, the writer writes it and puts it back.
type slab struct {
	capfile.Chunk
	memory  []byte        // what Content stands in: the slab's own, or that of pool.lender
	encoded []byte        // the buffer that its compressed form stands in, on loan from pool.buffers
	ready   chan struct{} // one token: a worker has compressed it
	err     error         // of compressing

	cut   Reason    // the file ends behind this slab; "": it goes on
	cutAt time.Time // when
	sync  bool      // sync the file behind it
}

// spareBuffers is how many compressed chunks may wait for the writer, beside
// the one that each worker is at.
const spareBuffers = 3

// pool holds all memory that packets stand in, made once or lent by the source.
// Where it is empty the reader has to drop packets, or leaves them in the source;
// nothing is ever added to it.
type pool struct {
	free    chan *slab  // released slabs
	buffers chan []byte // for compressed chunks; taken before a slab is taken to be compressed, so that the oldest slab always gets one
	lender  tun.InPlace // whose memory slabs are made of; nil: they have their own
	poison  bool        // fill released slabs with 0xdb, so that a test sees who still uses one
}

func newPool(c Config) *pool {
	p := &pool{free: make(chan *slab, c.Slabs), lender: c.lender()}
	room := slabCap(c.SlabBytes)
	for range c.Slabs {
		s := &slab{ready: make(chan struct{}, 1)}
		if p.lender == nil {
			s.memory = make([]byte, room)
		}
		p.free <- s
	}
	n := 0
	if c.Form == capfile.Zstd {
		n = c.Workers + spareBuffers
	}
	p.buffers = make(chan []byte, n)
	for range n {
		p.buffers <- make([]byte, 0, capfile.EncodedCap(room))
	}
	return p
}

// release makes s free again. Its owner must not touch it any more.
func (p *pool) release(s *slab) {
	if s.encoded != nil {
		p.buffers <- s.encoded
		s.encoded = nil
	}
	if p.poison {
		for i := range s.memory {
			s.memory[i] = 0xdb
		}
	}
	if p.lender != nil {
		p.lender.GiveBack(len(s.memory))
		s.memory = nil
	}
	s.Chunk = capfile.Chunk{}
	s.err = nil
	s.cut, s.sync = "", false
	p.free <- s
}
