package extract

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
)

const (
	slabBytes      = 1 << 20 // content of a chunk that is made here, or about that
	maxPacket      = 262144  // longest packet that is read, libpcap's limit
	maxPacketBlock = maxPacket + pcapng.PacketOverhead
)

// piece is a chunk on its way.
type piece struct {
	file   *File
	reader *reader // holds the chunk, until load
	entry  capfile.Entry
	key    int64 // see cursor
	read   int64 // bytes of the file that it stands in
	held   int   // bytes of memory that reading on in a file of others takes

	earliest, latest int64
	chunk            *capfile.Chunk // nil until load
	whole            bool           // the chunk is as in its file
	rest             []byte         // in weave: packets that were not put out

	ready  bool  // chunk can be written as it is
	dense  bool  // its packets were compressed before, and became hardly shorter
	err    error // what is damaged
	ends   error // why nothing can follow
	memory *memory
}

// memory is what a piece stands in.
type memory struct {
	buffer  capfile.Buffer
	slab    []byte // of packets that are put together here
	encoded []byte // what they are compressed into
	large   bool   // it was taken for an uncommonly large chunk
}

var (
	memories memoryPool
	// spare is that of the last large chunk, for the next one: there is one at a
	// time, and garbage of its size would pile up before it is collected.
	spare atomic.Pointer[memory]
)

// memoryPool gives out what came back last: the processors' caches may still have
// it. (A sync.Pool holds some back for each processor.)
type memoryPool struct {
	mu    sync.Mutex
	free  []*memory
	bytes int // of those in free, keptBytes at most
}

const keptBytes = 32 << 20

func (q *memoryPool) get() *memory {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := len(q.free) - 1
	if last < 0 {
		return new(memory)
	}
	m := q.free[last]
	q.free[last], q.free = nil, q.free[:last]
	q.bytes -= m.len()
	return m
}

func (q *memoryPool) put(m *memory) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+m.len() <= keptBytes {
		q.free = append(q.free, m)
		q.bytes += m.len()
	}
}

func (m *memory) len() int { return m.buffer.Len() + cap(m.slab) + cap(m.encoded) }

// take gets the memory to load a piece into.
func (p *piece) take() {
	const common = 2 * frameBytes
	if p.weight() <= common {
		p.memory = memories.get()
	} else if p.memory = spare.Swap(nil); p.memory == nil {
		p.memory = &memory{large: true}
	}
}

// free gives the memory of a piece back.
func (p *piece) free() {
	switch {
	case p.memory == nil:
	case p.memory.large:
		spare.Store(p.memory)
	default:
		memories.put(p.memory)
	}
	p.memory, p.chunk = nil, nil
}

// weight is about how many bytes of memory the piece takes.
func (p *piece) weight() int64 {
	if p.chunk != nil {
		return int64(p.holds() + max(cap(p.memory.encoded), len(p.chunk.Content)))
	}
	return int64(p.entry.StoredLen) + int64(p.entry.ContentLen)
}

// holds is how many bytes of memory the loaded piece holds, without what it may be
// compressed into.
func (p *piece) holds() int { return p.memory.len() - cap(p.memory.encoded) }

// load reads the piece's chunk and takes out the packets that are not asked
// for.
func (x *extraction) load(p *piece) *piece {
	if p.reader != nil {
		p.take()
		p.chunk, p.err = p.reader.LoadChunk(p.entry, &p.memory.buffer)
		x.release(p.reader)
		p.reader = nil
	}
	if p.chunk == nil {
		return p
	}
	before := len(p.chunk.Content)
	if err := x.Pick(p.chunk); err != nil {
		p.chunk, p.err = nil, fmt.Errorf("%s is damaged at byte %d: the chunk that begins there %w", p.file.Name, p.entry.FileOffset, err)
		return p
	}
	p.whole = len(p.chunk.Content) == before
	return p
}

// Pick takes the packets that are not asked for out of a chunk, Count aside;
// those that Match refuses are counted as filtered. A chunk that it leaves
// shorter is no longer ready to be written, see capfile.Reader.LoadChunk. It
// fails where the chunk is not what its entry says.
func (o *Options) Pick(c *capfile.Chunk) error {
	content, kept := c.Content, 0
	var all, picked capfile.Entry
	for at := 0; at < len(content); {
		packet, n, ok := pcapng.ParsePacket(content[at:])
		if !ok {
			return fmt.Errorf("has no packet block at byte %d of its content", at)
		}
		block := content[at : at+n]
		at += n
		all.Add(packet.UnixNano, packet.OrigLen)
		if !o.has(packet.UnixNano) {
			continue
		}
		if o.Match != nil && !o.Match(block[pcapng.PacketHeaderLen:][:packet.CapLen:packet.CapLen], packet.OrigLen) {
			picked.Filtered++
			continue
		}
		picked.Add(packet.UnixNano, packet.OrigLen)
		if kept < at-n {
			copy(content[kept:], block)
		}
		kept += n
	}
	e := &c.Entry
	if all.Packets != e.Packets || all.Earliest != e.Earliest || all.Latest != e.Latest || all.OriginalBytes != e.OriginalBytes {
		return fmt.Errorf("has %d packets of %d bytes, not the %d of %d bytes that its mark says",
			all.Packets, all.OriginalBytes, e.Packets, e.OriginalBytes)
	}
	if kept < len(content) {
		picked.AddCounts(e)
		c.Entry, c.Content = picked, content[:kept]
	}
	return nil
}
