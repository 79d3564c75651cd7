package capfile

import (
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	Offset  int64  // where in the file, in bytes
	Chunk   uint64 // number of the chunk that it is about, from 1; 0: of none
	Packet  uint64 // number of the chunk's first packet, from 1; 0: of none, or of nobody knows which
	Packets uint64 // how many packets the chunk holds by its entry
	Reason  string
}

func (p Problem) String() string {
	text := fmt.Sprintf("byte %d", p.Offset)
	if p.Chunk > 0 {
		text += fmt.Sprintf(", chunk %d", p.Chunk)
	}
	switch {
	case p.Packets == 1:
		text += fmt.Sprintf(", packet %d", p.Packet)
	case p.Packets > 1:
		text += fmt.Sprintf(", packets %d to %d", p.Packet, p.Packet+p.Packets-1)
	}
	return text + ": " + p.Reason
}

// Verified is what Verify has found. Its counts are of what is whole.
type Verified struct {
	Form         Form
	Section      pcapng.Section
	Chunks       uint64
	Packets      uint64
	ContentBytes uint64 // of the chunks, decompressed

	// Packets stamped earlier than the one before them: the clock was set back,
	// or the file was made from several. It is no damage.
	Backward      uint64
	FirstBackward uint64 // number of the first of them, from 1

	Problems uint64
	CutShort bool // there is one problem: the end is missing
	NoneLost bool // all packets are whole: what is wrong, if anything, is no chunk
}

// VerifyOptions tell where a Verify reports to. Both may be nil.
type VerifyOptions struct {
	Problem  func(Problem)    // is called for each, in the order of the file
	Progress func(done int64) // bytes of the file that have been verified
}

// Verify reads every byte of the first size bytes of f, and compares whatever
// says the same thing twice: the structure of zstd and pcapng, the hash of
// every chunk, marks, index, statistics and the checksum of the content. It
// goes on behind what is wrong. Chunks are decompressed on all processors, in
// less than 200 MiB of memory for any file.
//
// The plain form has no checksum of its header, of when the recording began,
// and of how many packets it received beyond those that its chunks count: a
// change there is not seen.
//
// The error is one of reading, ErrForeign, or a *CorruptError of a file in
// which there is no chunk to be found.
func Verify(f io.ReaderAt, size int64, o VerifyOptions) (Verified, error) {
	s, damage, err := newSurvey(f, size)
	if err != nil {
		return Verified{}, err
	}
	v := verifier{s: s, o: o, checksum: xxhash.New(), intact: damage == nil}
	v.Form, v.Section = s.r.info.Form, s.r.info.Section
	if damage != nil {
		v.hit = true
		v.problem(Problem{Offset: damage.Offset, Reason: damage.Reason})
	} else if err := v.header(); err != nil {
		return v.Verified, err
	}
	if err := s.each(v.visit); err != nil {
		return v.Verified, err
	}
	if !v.ended && !v.torn && !v.noIndex {
		v.torn = v.Problems == 0
		v.problem(Problem{Offset: size, Reason: "the file ends without an index"})
	}
	v.CutShort = v.torn && v.Problems == 1
	v.NoneLost = !v.hit && v.counted
	return v.Verified, nil
}

type verifier struct {
	Verified
	s *survey
	o VerifyOptions

	intact   bool // nothing is missing up to here: what is added up is the file's
	ended    bool // the last index block was there
	torn     bool // the file ends too early
	noIndex  bool // instead of the last index block there is something else
	hit      bool // a chunk is wrong, or the header
	counted  bool // statistics or index say that no chunk is missing
	shift    int64
	content  uint64 // bytes of the section up to here
	checksum *xxhash.Digest
	number   uint64 // of chunks, damaged ones too
	packets  uint64 // in them
	totals   pcapng.Statistics
	stamp    int64 // of the packet before

	seen       []Entry // chunks that no index block has listed yet
	complete   bool    // seen are all of them
	listed     uint64
	previous   uint64
	statistics *piece
}

func (v *verifier) problem(p Problem) {
	v.Problems++
	if v.o.Problem != nil {
		v.o.Problem(p)
	}
}

// header takes the header into the checksum.
func (v *verifier) header() error {
	v.complete = true
	r := v.s.r
	if r.info.Form != Zstd {
		v.content = uint64(r.header.end)
		return nil
	}
	if r.header.window&7 != 0 {
		v.hit = true
		v.problem(Problem{Offset: zstdHeaderLen - 1, Reason: fmt.Sprintf("the window descriptor is 0x%02x, which no recorder writes", r.header.window)})
	}
	raw := &rawBlocks{f: r.f, at: zstdHeaderLen}
	b := make([]byte, zstdblock.Max)
	for raw.at < r.header.end {
		n, err := raw.Read(b)
		if err != nil {
			return fmt.Errorf("read the header: %w", err)
		}
		v.checksum.Write(b[:n])
	}
	v.content = uint64(raw.total)
	return nil
}

func (v *verifier) visit(c *checked) error {
	switch {
	case v.ended:
		v.problem(Problem{Offset: c.at, Reason: fmt.Sprintf("%d bytes stand behind the last index block", c.end-c.at)})
	case v.statistics != nil && c.kind == pieceGap && c.end == v.s.r.info.Size:
		v.noIndex = true
		v.problem(Problem{Offset: c.at, Reason: fmt.Sprintf("the index is damaged: %d bytes, up to the end of the file", c.end-c.at)})
	case v.statistics != nil && c.kind != pieceEnd && c.kind != pieceTorn:
		v.problem(Problem{Offset: c.at, Reason: fmt.Sprintf("%d bytes stand between the statistics and the index", c.end-c.at)})
	case c.kind == pieceChunk:
		v.chunk(c)
	case c.kind == pieceIndex:
		v.indexBlock(c)
	case c.kind == pieceStatistics:
		v.statistics = &c.piece
		v.checkStatistics(c)
		v.take(c.statistics.Append(nil))
	case c.kind == pieceEnd:
		v.end(c)
	default:
		v.missing(c)
	}
	if v.o.Progress != nil {
		v.o.Progress(c.end)
	}
	return nil
}

// take takes bytes of the section into the checksum.
func (v *verifier) take(b []byte) {
	v.content += uint64(len(b))
	v.checksum.Write(b)
}

// missing is about bytes that are nothing, or a chunk that the end of the file
// has cut.
func (v *verifier) missing(c *checked) {
	p := Problem{Offset: c.at, Chunk: v.number + 1}
	switch {
	case c.kind == pieceGap:
		p.Reason = fmt.Sprintf("%d bytes are neither chunk nor index", c.end-c.at)
	case c.entry.StoredLen > 0:
		p.Packet, p.Packets = v.packets+1, uint64(c.entry.Packets)
		p.Reason = fmt.Sprintf("cut short: %d of the chunk's %d bytes are there", c.end-c.at, c.entry.StoredLen)
	default:
		p.Chunk, p.Reason = 0, "cut short: the file has no whole index"
	}
	v.torn = c.kind == pieceTorn
	v.hit = v.hit || v.torn
	v.intact, v.complete = false, false
	v.problem(p)
}

func (v *verifier) chunk(c *checked) {
	e := &c.entry
	v.number++
	p := Problem{Offset: c.at, Chunk: v.number, Packet: v.packets + 1, Packets: uint64(e.Packets)}
	report := func(format string, args ...any) {
		p.Reason = fmt.Sprintf(format, args...)
		v.hit = true
		v.problem(p)
	}
	if shift := int64(e.FileOffset) - c.at; shift != v.shift {
		report("the chunk stood at byte %d of the file once", e.FileOffset)
		v.shift, v.intact = shift, false
	}
	if c.badMark {
		report("the mark of the chunk is damaged; what should stand there is known by the index")
		v.intact = false
	}
	if v.intact && e.ContentOffset != v.content {
		report("the chunk says that it is at byte %d of the content, it is at %d", e.ContentOffset, v.content)
		v.intact = false
	}
	v.content = e.ContentOffset + MarkLen + uint64(e.ContentLen)
	v.packets += uint64(e.Packets)
	e.addTo(&v.totals)
	if len(v.seen) == MaxIndexEntries {
		if v.complete {
			report("no index block stands behind %d chunks", MaxIndexEntries)
		}
		v.seen, v.complete = v.seen[:0], false
	}
	v.seen = append(v.seen, *e)
	if c.chunk == nil {
		report("%s", c.err.Reason)
		v.intact = false
		return
	}
	var mark [MarkLen]byte
	putMark(mark[:], Plain, e)
	v.checksum.Write(mark[:])
	v.checksum.Write(c.chunk.Content)
	v.order(c)
	v.Chunks++
	v.Packets += uint64(e.Packets)
	v.ContentBytes += uint64(e.ContentLen)
}

// order counts packets that are stamped earlier than the one before.
func (v *verifier) order(c *checked) {
	if c.entry.Packets == 0 {
		return
	}
	first := v.packets - uint64(c.entry.Packets) + 1
	back := c.order.backward
	at := first + uint64(c.order.firstBack)
	if v.Packets > 0 && c.order.first < v.stamp {
		back, at = back+1, first
	}
	if back > 0 && v.Backward == 0 {
		v.FirstBackward = at
	}
	v.Backward += back
	v.stamp = c.order.last
}

// indexBlock compares an index block with the chunks before it.
func (v *verifier) indexBlock(c *checked) {
	b := &c.block
	wrong := func(format string, args ...any) {
		v.problem(Problem{Offset: b.at, Reason: "the index block " + fmt.Sprintf(format, args...)})
	}
	if at := uint64(b.at + v.shift); v.intact {
		switch {
		case b.first != v.listed:
			wrong("begins with chunk %d, %d are listed before it", b.first+1, v.listed)
		case b.previous != v.previous:
			wrong("says that the one before it is at byte %d, it is at %d", b.previous, v.previous)
		case b.contentOffset != v.content:
			wrong("says that it is at byte %d of the content, it is at %d", b.contentOffset, v.content)
		}
		v.previous = at
	}
	seen := v.seen
	for i, e := range b.entries {
		switch {
		case len(seen) > 0 && seen[0] == e:
			seen = seen[1:]
		case v.complete:
			wrong("describes chunk %d otherwise than its mark, or there is no such chunk", b.first+uint64(i)+1)
			v.complete = false
		}
	}
	if len(seen) > 0 && v.complete {
		wrong("lacks %d chunks", len(seen))
	}
	v.listed = b.first + uint64(len(b.entries))
	v.seen, v.complete = v.seen[:0], true
	v.take(appendIndexBlock(nil, b.indexHeader, b.entries))
}

// checkStatistics compares the statistics with the sum of the chunks'.
func (v *verifier) checkStatistics(c *checked) {
	want, got := v.totals, c.statistics
	v.counted = got.Delivered == want.Delivered
	rest := unplaced(got, want) // of chunks that could not be written
	rest.addTo(&want)
	want.Start, want.End = got.Start, got.End
	if v.intact && got != want {
		v.problem(Problem{Offset: c.at, Reason: "the statistics are not the sum of what the chunks say"})
	}
}

// end checks the last index block and the checksum.
func (v *verifier) end(c *checked) {
	at := uint64(0)
	if v.statistics != nil {
		at = uint64(v.statistics.at)
		if v.Form == Zstd {
			at += zstdblock.HeaderLen
		}
	}
	if v.intact && c.block.statistics != at {
		v.problem(Problem{Offset: c.block.at, Reason: fmt.Sprintf("the index says that the statistics are at byte %d, they are at %d", c.block.statistics, at)})
	}
	v.indexBlock(c)
	v.ended = true
	v.counted = v.counted || v.listed == v.number
	if sum := uint32(v.checksum.Sum64()); v.Form == Zstd && v.intact && sum != c.checksum {
		v.problem(Problem{Offset: c.end - zstdChecksumLen,
			Reason: fmt.Sprintf("the checksum is %08x, the content gives %08x: every chunk is as it was written, the header or statistics are not", c.checksum, sum)})
	}
}
