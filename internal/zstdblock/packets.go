package zstdblock

import (
	"encoding/binary"
	"math/bits"

	"github.com/tunrec/tunrec/pcapng"
)

// PacketCoder turns the content of chunks into zstd blocks, as an encoder would
// that knows what it is for: packets whose payload is noise, because it is
// encrypted, and whose headers are much like those of the packet before of the
// same flow. It compares these two and searches nothing else.
//
// The blocks refer to nothing before the content, and take the first repeat
// offset for 1, as it is behind a mark (package capfile). Literals are raw: they are
// copied once. What parses as no packet block is literals, too.
type PacketCoder struct {
	windowBytes int
	recent      [1 << flowBits]uint32 // by flow: 1 + where its last packet's block begins
	sequences   sequenceCoder         // of the zstd block begun
	section     []byte                // memory to write them to

	content []byte
	done    int    // of content is in coded, or in a match
	coded   []byte // zstd blocks, and the literals of the one begun behind room for its head
	offset  int    // the first repeat offset: that of the last match
	begun   struct {
		content, coded int // where the zstd block begins
		offset         int // and what offset is there
	}
}

// NewPacketCoder returns a PacketCoder for frames of that window.
func NewPacketCoder(windowBytes int) *PacketCoder { return &PacketCoder{windowBytes: windowBytes} }

const (
	flowBits = 12
	// headerLen is how much of a packet is compared, if no match goes further:
	// IPv6 and TCP, and then most often TLS or time stamps begin.
	headerLen = 64
	// runLen is the shortest run of bytes that becomes a match: compare looks
	// for four in a word. A match costs one to two bytes.
	runLen = 4
	// blockHeadLen is for the headers of a zstd block and of its literals.
	blockHeadLen = HeaderLen + 3
)

// Append appends the zstd blocks for content to b: where b has room for
// blockHeadLen more, in no more than AppendStored needs. It returns how many
// packets there are.
func (p *PacketCoder) Append(b, content []byte) (coded []byte, packets int) {
	clear(p.recent[:])
	p.content, p.coded, p.done, p.offset = content, b, 0, 1
	p.begin()
	for at, previous := 0, 0; ; packets++ {
		_, total, ok := pcapng.ParsePacket(content[at:])
		if !ok {
			break
		}
		recent := &p.recent[flow(content[at+pcapng.PacketHeaderLen:at+total])]
		offset := at - int(*recent) + 1
		if *recent == 0 || offset > p.windowBytes {
			offset = at - previous
		}
		if 0 < offset && offset <= p.windowBytes {
			trailer := at - 4 // the block before ends with its length
			p.compare(max(trailer, p.done, offset), at+min(pcapng.PacketHeaderLen+headerLen, total), offset)
		}
		*recent = uint32(at) + 1
		previous = at
		at += total
	}
	p.endBefore(len(content))
	if p.begun.content < len(content) {
		p.end(len(content))
	}
	coded = p.coded[:p.begun.coded]
	p.content, p.coded = nil, nil
	return coded, packets
}

// flow returns a hash of what tells the flows of IP packets apart: addresses,
// protocol, and the ports where no options are before them. For other packets
// it is a number.
func flow(packet []byte) uint32 {
	const prime = 0x9e3779b185ebca87
	le := binary.LittleEndian
	var h uint64
	switch {
	case len(packet) >= 44 && packet[0]>>4 == 6:
		h = uint64(packet[6])
		for at := 8; at < 40; at += 8 {
			h = bits.RotateLeft64((h^le.Uint64(packet[at:]))*prime, 29)
		}
		h ^= uint64(le.Uint32(packet[40:]))
	case len(packet) >= 24 && packet[0]>>4 == 4:
		h = bits.RotateLeft64((uint64(packet[9])^le.Uint64(packet[12:]))*prime, 29)
		h ^= uint64(le.Uint32(packet[20:]))
	}
	return uint32(h * prime >> (64 - flowBits))
}

// compare makes matches of runs of bytes that are the same offset bytes before,
// and begin in content[from:end].
func (p *PacketCoder) compare(from, end, offset int) {
	const low7 = 0x7f7f7f7f7f7f7f7f
	content := p.content
	for i := from; i < end && i+8 <= len(content); {
		x := binary.LittleEndian.Uint64(content[i:]) ^ binary.LittleEndian.Uint64(content[i-offset:])
		same := ^(x&low7 + low7 | x | low7) // the highest bit of each byte that is zero
		same &= same >> 8                   // and the next one, too,
		same &= same >> 16                  // and the next two
		if same == 0 {
			i += 8 - runLen + 1
			continue
		}
		i += bits.TrailingZeros64(same) / 8
		n := runLen + sameBytes(content[i+runLen:], content[i+runLen-offset:])
		p.match(i, i+n, offset)
		i += n + 1
	}
}

// sameBytes returns how many bytes a and b, the longer one, begin with in common.
func sameBytes(a, b []byte) (n int) {
	for ; len(a)-n >= 8; n += 8 {
		if d := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); d != 0 {
			return n + bits.TrailingZeros64(d)>>3
		}
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}

// match makes content[from:to] a match, in as many zstd blocks as it is in,
// and literals of what is before it.
func (p *PacketCoder) match(from, to, offset int) {
	for from < to {
		p.endBefore(from)
		end := min(to, p.begun.content+Max)
		if end-from >= minMatch {
			p.sequence(from, end, offset)
		}
		from = end
	}
}

func (p *PacketCoder) sequence(from, to, offset int) {
	literals, value := from-p.done, offset+3
	if offset == p.offset && literals > 0 { // 1 means another offset after no literals
		value = 1
	}
	p.offset = offset
	p.coded = append(p.coded, p.content[p.done:from]...)
	p.sequences.add(uint32(literals), uint32(to-from), uint32(value))
	p.done = to
}

// endBefore ends all zstd blocks that are full before content[at:].
func (p *PacketCoder) endBefore(at int) {
	for at-p.begun.content >= Max {
		p.end(p.begun.content + Max)
	}
}

// begin begins a zstd block.
func (p *PacketCoder) begin() {
	p.begun.content, p.begun.coded, p.begun.offset = p.done, len(p.coded), p.offset
	p.coded = append(p.coded, make([]byte, blockHeadLen)...)
	p.sequences.reset()
}

// end ends the zstd block begun before content[to:], and begins the next one.
// Where it would not be smaller than a raw block it becomes one, which leaves
// the repeat offsets as they were.
func (p *PacketCoder) end(to int) {
	content := p.content[p.begun.content:to]
	rest := p.content[p.done:to]
	p.done = to
	if n := p.sequences.len(); 0 < n && n <= maxSequences {
		p.section = p.sequences.append(p.section[:0])
		literals := len(p.coded) - p.begun.coded - blockHeadLen + len(rest)
		size := blockHeadLen - HeaderLen + literals + len(p.section)
		if size < len(content) {
			p.coded = append(append(p.coded, rest...), p.section...)
			putBlockHead(p.coded[p.begun.coded:], size, literals)
			p.begin()
			return
		}
	}
	p.coded, p.offset = AppendRaw(p.coded[:p.begun.coded], content, false), p.begun.offset
	p.begin()
}

// putBlockHead writes the headers of a compressed zstd block of that size and
// of its literals (RFC 8878 §3.1.1.3.1.1), blockHeadLen bytes.
func putBlockHead(b []byte, size, literals int) {
	PutHeader(b, Compressed, size)
	const raw20bits = 0 | 3<<2 // Raw_Literals_Block, Size_Format 11
	v := raw20bits | literals<<4
	b[3], b[4], b[5] = byte(v), byte(v>>8), byte(v>>16)
}
