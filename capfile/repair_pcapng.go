package capfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/tunrec/tunrec/pcapng"
)

// RepairPcapng copies the whole blocks of a pcapng stream that another program
// has made, whatever its link type, to what create makes. It leaves out what
// is damaged and what the end has cut, and leaves the lengths of sections
// unspecified. A stream that does not begin with a section header gives
// ErrForeign, and create is not called.
//
// Only the lengths and numbers of blocks tell whether they are right: where a
// packet's bytes have changed, nobody knows. Behind damage the next block is
// taken that makes sense and has another one behind it. It takes 2 MiB of
// memory, and 32 MiB more where a block says that it is longer than half of that.
func RepairPcapng(stream io.Reader, create func() (io.Writer, error), o RepairOptions) (Repaired, error) {
	b := &blocks{in: newLookahead(stream, 2<<20)}
	block, err := b.peek(pcapng.MaxBlockLength)
	if err != nil && err != io.EOF && !errors.Is(err, errNoBlock) {
		return Repaired{}, err
	}
	if err != nil || b.kind(block) != pcapng.BlockSectionHeader {
		return Repaired{}, fmt.Errorf("%w: no whole section header, with which pcapng begins", ErrForeign)
	}
	return repairStream(create, o, b.copyTo)
}

// repairStream has copyTo write a file of others as far as it can be had.
func repairStream(create func() (io.Writer, error), o RepairOptions, copyTo func(io.Writer, *losses) error) (Repaired, error) {
	to, err := create()
	if err != nil {
		return Repaired{}, err
	}
	out := bufio.NewWriterSize(to, 256<<10)
	r := losses{o: o}
	r.Form = Stream
	err = copyTo(out, &r)
	r.report(0)
	r.Whole = !r.any
	return r.Repaired, errors.Join(err, out.Flush())
}

// errNoBlock: there is no block that makes sense.
var errNoBlock = errors.New("no block")

// blocks reads the blocks of a pcapng stream.
type blocks struct {
	in         *lookahead
	at         int64
	order      binary.ByteOrder
	interfaces uint32 // that the section has described
	snaplen    uint32 // of the first of them
}

func (b *blocks) copyTo(out io.Writer, r *losses) error {
	for {
		block, err := b.peek(pcapng.MaxBlockLength)
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, errNoBlock) {
			return err
		}
		if err != nil {
			gap := Loss{Offset: b.at, Reason: err.Error()}
			if err := b.resync(); err != nil {
				return err
			}
			gap.End = b.at
			r.lose(gap)
			r.report(0)
			continue
		}
		b.taken(block, r)
		if _, err := out.Write(block); err != nil {
			return err
		}
		b.skip(len(block))
		if r.o.Progress != nil {
			r.o.Progress(b.at)
		}
	}
}

// taken notes what later blocks depend on, and counts packets. The length of a
// section is not known before its end, and may change: it is made -1 (draft
// §4.1), of all bits set in both byte orders.
func (b *blocks) taken(block []byte, r *losses) {
	switch b.kind(block) {
	case pcapng.BlockSectionHeader:
		b.interfaces = 0
		binary.LittleEndian.PutUint64(block[16:], math.MaxUint64)
	case pcapng.BlockInterfaceDescription:
		if b.interfaces == 0 {
			b.snaplen = b.order.Uint32(block[12:])
		}
		b.interfaces++
	case pcapng.BlockEnhancedPacket, pcapng.BlockSimplePacket, pcapng.BlockPacket:
		r.Packets++
	}
}

func (b *blocks) skip(n int) { b.at += int64(b.in.skip(n)) }

func (b *blocks) kind(block []byte) uint32 { return b.order.Uint32(block) }

const (
	shortestBlock = 12
	// Longer ones are not looked for behind damage: every place may claim to be one.
	longestSearched = 512 << 10
	// Of those that are looked for, all but the section header have small numbers.
	highestSearched = pcapng.BlockEnhancedPacket
)

// resync goes on to the next block that makes sense, or to the end.
func (b *blocks) resync() error {
	const searched = 64 << 10 // at a time
	for b.skip(1); ; {
		ahead, err := b.in.peek(searched)
		if err != nil && err != io.EOF {
			return err
		}
		if len(ahead) < shortestBlock {
			b.skip(len(ahead))
			return nil
		}
		n := b.candidate(ahead)
		if b.skip(n); n > len(ahead)-shortestBlock {
			continue // there is none in them
		}
		if !b.closes() {
			b.skip(1)
			continue
		}
		order := b.order
		block, err := b.peek(longestSearched)
		if err == nil && b.known(block) && b.followed(len(block)) {
			return nil
		}
		b.order = order
		if err != nil && !errors.Is(err, errNoBlock) {
			return err
		}
		b.skip(1)
	}
}

// candidate returns how many bytes from here a block may begin that resync would
// believe, by its first eight bytes; where none does, the first place at which too few
// bytes are there to tell. Every byte of a damaged file comes through here.
func (b *blocks) candidate(ahead []byte) int {
	swapped := b.order == binary.ByteOrder(binary.BigEndian)
	last := len(ahead) - shortestBlock
	for i := 0; i <= last; i++ {
		kind := binary.LittleEndian.Uint32(ahead[i:])
		if swapped {
			kind = bits.ReverseBytes32(kind)
		}
		if kind-1 > highestSearched-1 && kind != pcapng.BlockSectionHeader || !believable(kind) {
			continue
		}
		length := b.order.Uint32(ahead[i+4:])
		if kind == pcapng.BlockSectionHeader || length >= shortestBlock && length <= longestSearched && length%4 == 0 {
			return i
		}
	}
	return last + 1
}

// closes reports whether the length of the block that comes next stands at its end,
// too. A section header has its own byte order: of that it is not known yet.
func (b *blocks) closes() bool {
	head, _ := b.in.peek(8)
	if len(head) < 8 || b.kind(head) == pcapng.BlockSectionHeader {
		return len(head) == 8
	}
	length := b.order.Uint32(head[4:])
	block, err := b.in.peek(int(length))
	return err == nil && b.order.Uint32(block[length-4:]) == length
}

// known tells whether a block is of a kind that is worth believing.
func (b *blocks) known(block []byte) bool { return believable(b.kind(block)) }

func believable(kind uint32) bool {
	switch kind {
	case pcapng.BlockSectionHeader, pcapng.BlockInterfaceDescription, pcapng.BlockEnhancedPacket,
		pcapng.BlockInterfaceStatistics, pcapng.BlockNameResolution:
		return true
	}
	return false
}

// followed tells whether the next n bytes have another block's start behind
// them, or the end.
func (b *blocks) followed(n int) bool {
	next, _ := b.in.peek(n + 8)
	if len(next) < n+8 {
		return len(next) == n
	}
	length := b.order.Uint32(next[n+4:])
	return b.order.Uint32(next[n:]) == pcapng.BlockSectionHeader || length >= 12 && length <= pcapng.MaxBlockLength && length%4 == 0
}

// peek returns the block that comes next. An error that is errNoBlock says why
// there is none; io.EOF is the end, others are of reading.
func (b *blocks) peek(longest uint32) ([]byte, error) {
	order := b.order
	block, err := b.read(longest)
	if err != nil {
		b.order = order
	}
	return block, err
}

func (b *blocks) read(longest uint32) ([]byte, error) {
	head, err := b.in.peek(shortestBlock)
	if len(head) == 0 && err == io.EOF {
		return nil, io.EOF
	}
	if err == io.EOF {
		return nil, fmt.Errorf("%w: cut off, %d bytes are left", errNoBlock, len(head))
	}
	if err != nil {
		return nil, err
	}
	if err := b.readOrder(head); err != nil {
		return nil, err
	}
	length := b.order.Uint32(head[4:])
	if length < shortestBlock || length > longest || length%4 != 0 {
		return nil, fmt.Errorf("%w of %d bytes can be", errNoBlock, length)
	}
	block, err := b.in.peek(int(length))
	if err == io.EOF {
		return nil, fmt.Errorf("%w: cut off, %d of %d bytes are there", errNoBlock, len(block), length)
	}
	if err != nil {
		return nil, err
	}
	if again := b.order.Uint32(block[length-4:]); again != length {
		return nil, fmt.Errorf("%w: its length is %d at its begin but %d at its end", errNoBlock, length, again)
	}
	return block, b.check(block)
}

// readOrder notes the byte order that a section header sets.
func (b *blocks) readOrder(head []byte) error {
	if binary.LittleEndian.Uint32(head) != pcapng.BlockSectionHeader {
		if b.order == nil {
			return fmt.Errorf("%w: not a section header", errNoBlock)
		}
		return nil
	}
	switch binary.LittleEndian.Uint32(head[8:]) {
	case pcapng.ByteOrderMagic:
		b.order = binary.LittleEndian
	case bits.ReverseBytes32(pcapng.ByteOrderMagic):
		b.order = binary.BigEndian
	default:
		return fmt.Errorf("%w: a section header without byte-order magic", errNoBlock)
	}
	return nil
}

// fixedLens is what stands before packet or options (draft §4).
var fixedLens = map[uint32]int{
	pcapng.BlockSectionHeader: 16, pcapng.BlockInterfaceDescription: 8, pcapng.BlockInterfaceStatistics: 12,
	pcapng.BlockEnhancedPacket: 20, pcapng.BlockPacket: 20, pcapng.BlockSimplePacket: 4,
}

// check refuses a block whose fields cannot be.
func (b *blocks) check(block []byte) error {
	body := block[8 : len(block)-4]
	kind := b.kind(block)
	fixed := fixedLens[kind]
	if len(body) < fixed {
		return fmt.Errorf("%w: %d bytes are too few for its fields", errNoBlock, len(block))
	}
	switch kind {
	case pcapng.BlockSectionHeader:
		major, minor := b.order.Uint16(body[4:]), b.order.Uint16(body[6:])
		if major != 1 || minor != 0 && minor != 2 { // some tools write 1.2 and mean 1.0
			return fmt.Errorf("%w: pcapng version %d.%d", errNoBlock, major, minor)
		}
	case pcapng.BlockInterfaceDescription:
		return b.checkOptions(body[fixed:])
	case pcapng.BlockEnhancedPacket:
		return b.checkPacket(b.order.Uint32(body), b.order.Uint32(body[12:]), len(body)-fixed)
	case pcapng.BlockPacket:
		return b.checkPacket(uint32(b.order.Uint16(body)), b.order.Uint32(body[12:]), len(body)-fixed)
	case pcapng.BlockSimplePacket:
		captured := b.order.Uint32(body)
		if b.snaplen > 0 {
			captured = min(captured, b.snaplen)
		}
		return b.checkPacket(0, captured, len(body)-fixed)
	}
	return nil
}

func (b *blocks) checkPacket(id, captured uint32, room int) error {
	if id >= b.interfaces {
		return fmt.Errorf("%w: a packet of interface %d, the section describes %d", errNoBlock, id, b.interfaces)
	}
	if int64(captured) > int64(room) {
		return fmt.Errorf("%w: a packet of %d bytes in %d", errNoBlock, captured, room)
	}
	return nil
}

// mostOptions is more than any interface has: where every place claims to be one, they
// are counted at every place.
const mostOptions = 1000

// checkOptions refuses options that go beyond the end of their block.
func (b *blocks) checkOptions(o []byte) error {
	const end = 0
	for n := 0; len(o) >= 4 && b.order.Uint16(o) != end; n++ {
		if n == mostOptions {
			return fmt.Errorf("%w: it has more than %d options", errNoBlock, mostOptions)
		}
		padded := (int(b.order.Uint16(o[2:])) + 3) &^ 3
		if padded > len(o)-4 {
			return fmt.Errorf("%w: an option goes beyond its end", errNoBlock)
		}
		o = o[4+padded:]
	}
	return nil
}
