package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// A survey goes through a file from the header's end to the end of the file,
// and names piece by piece what stands there. Where it finds nothing that it
// knows, it looks for the next chunk: by the index, if there is a good one,
// else by the first bytes of a mark, which are the same in every file.
//
// Nothing is decompressed but the chunks that have to prove what they are:
// a mark may also be found in the bytes of a packet.
type survey struct {
	r     *Reader
	index bool  // r.groups are those of a good index
	tail  int64 // see findTail

	at    int64
	shift int64 // how far before its FileOffset a chunk stands: bytes that were lost
	last  piece // the chunk found last
	proof int64 // bytes that may still be read for proofs
	buf   Buffer

	group        int // index: its entries are these
	groupEntries []Entry
}

type pieceKind int

const (
	pieceChunk      pieceKind = iota
	pieceIndex                // an index block, not the last one
	pieceStatistics           // the Interface Statistics Block
	pieceEnd                  // the last index block and the checksum
	pieceTorn                 // what goes on behind the end of the file; a chunk where entry.StoredLen > 0
	pieceGap                  // bytes that are nothing
)

// piece is a part of a file.
type piece struct {
	kind    pieceKind
	at, end int64

	entry      Entry // pieceChunk, pieceTorn: with the FileOffset of the file as it was
	badMark    bool  // pieceChunk: the index has the entry, its mark is damaged
	block      indexBlock
	statistics pcapng.Statistics
	checksum   uint32 // pieceEnd, Zstd
}

// damagedHeaderSearch is how far behind a damaged header the first chunk is
// looked for: a header is not longer.
const damagedHeaderSearch = maxHeaderLen + maxHeaderLen/zstdblock.Max*2*zstdblock.HeaderLen

// newSurvey opens a file. damage is what is wrong with its header, which
// costs nothing but the description of the section.
func newSurvey(f io.ReaderAt, size int64) (s *survey, damage *CorruptError, err error) {
	r, err := NewReader(f, size)
	if err == nil {
		s = &survey{r: r, at: r.header.end, index: !r.walked, proof: proofs(size)}
	} else if s = surveyWithoutHeader(f, size); s != nil {
		damage = corrupt(0, "up to byte %d nothing can be read: %w", s.at, err)
	} else {
		return nil, nil, err
	}
	s.group, s.tail = -1, s.findTail()
	return s, damage, nil
}

// surveyWithoutHeader finds the first chunk of a file whose header is damaged.
func surveyWithoutHeader(f io.ReaderAt, size int64) *survey {
	head := make([]byte, min(size, damagedHeaderSearch))
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), head); err != nil {
		return nil
	}
	for _, h := range []header{{form: Zstd, window: window8MiB}, {form: Plain}} {
		s := &survey{r: &Reader{f: f, header: h, info: Info{Form: h.form, Size: size}}, proof: proofs(size)}
		for at := range s.marksIn(head, 0) {
			if p, ok, err := s.identify(at); err != nil || !ok || !s.believe(&p) {
				continue
			}
			content := head[:at]
			if h.form == Zstd {
				content = content[min(zstdHeaderLen+zstdblock.HeaderLen, len(content)):]
			}
			_ = s.r.header.parse(pcapng.NewScanner(bytes.NewReader(content))) // as far as that goes
			s.r.info.Section, s.at = s.r.header.section, at
			return s
		}
	}
	return nil
}

// findTail finds, from the end of the file, what stands behind all chunks: the
// statistics, right before the last index block, or that one alone. It is the
// size of the file where that does not end as it should.
func (s *survey) findTail() int64 {
	size := s.r.info.Size
	end, header := size, int64(0)
	if s.r.info.Form == Zstd {
		end, header = end-zstdChecksumLen, zstdblock.HeaderLen
	}
	at, _, err := lastIndexBlock(s.r.f, end)
	if err != nil {
		return size
	}
	for _, at := range []int64{at - header - pcapng.StatisticsLen - header, at - header} {
		if p, ok, err := s.identify(at); err == nil && ok && (p.kind == pieceStatistics || p.kind == pieceEnd) {
			return at
		}
	}
	return size
}

// next returns the next piece, or io.EOF. Other errors are those of reading.
func (s *survey) next() (piece, error) {
	size := s.r.info.Size
	if s.at >= size {
		return piece{}, io.EOF
	}
	p, ok, err := s.identify(s.at)
	if err != nil {
		return p, err
	}
	if ok && p.isChunk() {
		ok = s.believe(&p)
	}
	if !ok && s.index {
		p, ok, err = s.byIndex(s.at)
		ok = ok && p.at == s.at
	}
	if err == nil && !ok {
		p, err = s.gap()
	}
	if err != nil {
		return p, err
	}
	if p.kind == pieceTorn && p.at < s.tail && s.tail < size {
		p.kind, p.end = pieceChunk, s.tail // not torn: it has lost bytes, or its length is wrong
	}
	if p.kind == pieceChunk {
		s.last = p
	}
	s.at = p.end
	return p, nil
}

func (p *piece) isChunk() bool { return p.kind == pieceChunk || p.kind == pieceTorn }

// gap finds what comes behind bytes that are nothing. Where the chunk before
// is damaged its length may be wrong, too: then the next one is looked for
// inside it.
func (s *survey) gap() (piece, error) {
	from := s.at
	if !s.index && s.last.end == s.at && s.afford(&s.last) {
		if _, err := s.r.loadAt(s.last.at, s.last.entry, &s.buf); err != nil {
			from = s.last.at
		}
	}
	next, err := s.search(from + 1)
	if err != nil {
		return piece{}, err
	}
	if next < s.at {
		s.at = next
		return s.next()
	}
	p := piece{kind: pieceGap, at: s.at, end: next}
	if next == s.r.info.Size && s.goesOn(s.at) {
		p.kind = pieceTorn
	}
	return p, nil
}

// goesOn tells whether what stands at a place is the beginning of something
// that the end of the file has cut off.
func (s *survey) goesOn(at int64) bool {
	var buf [MarkLen]byte
	b := buf[:min(MarkLen, s.r.info.Size-at)]
	if _, err := s.r.f.ReadAt(b, at); err != nil {
		return false
	}
	mark, behind := markHead[:], int64(0)
	if s.r.info.Form == Zstd {
		mark, behind = zstdMarkHead[:], zstdChecksumLen
	}
	n := min(len(b), len(mark))
	if bytes.Equal(b[:n], mark[:n]) {
		return len(b) < MarkLen
	}
	body := b
	if s.r.info.Form == Zstd {
		body = b[min(zstdblock.HeaderLen, len(b)):]
	}
	if len(body) < 8 {
		return true
	}
	le := binary.LittleEndian
	kind, length := le.Uint32(body), int64(le.Uint32(body[4:]))
	if s.r.info.Form == Zstd {
		if _, size, _ := zstdblock.Header(b); int64(size) != length {
			return false // one of them is damaged
		}
	}
	return (kind == pcapng.BlockInterfaceStatistics || kind == BlockIndex) &&
		at+int64(len(b)-len(body))+length+behind > s.r.info.Size
}

// search returns where behind the byte from the next chunk begins, or what
// stands behind all chunks.
func (s *survey) search(from int64) (int64, error) {
	end := s.r.info.Size
	if s.tail >= from {
		end = s.tail
	}
	if s.index {
		p, ok, err := s.byIndex(from)
		if ok {
			end = p.at
		}
		return end, err
	}
	const window = 1 << 20
	b := make([]byte, window+MarkLen)
	for at := from; at < end; at += window {
		n, err := s.r.f.ReadAt(b[:min(int64(len(b)), end-at)], at)
		if err != nil && err != io.EOF {
			return 0, fmt.Errorf("read at byte %d: %w", at, err)
		}
		for found := range s.marksIn(b[:n], at) {
			p, ok, err := s.identify(found)
			if err != nil {
				return 0, err
			}
			if ok && s.believe(&p) {
				return found, nil
			}
		}
	}
	return end, nil
}

// marksIn goes through the places in b, which was read at byte at, where a
// mark may begin.
func (s *survey) marksIn(b []byte, at int64) func(yield func(int64) bool) {
	needle := markHead[:]
	if s.r.info.Form == Zstd {
		needle = zstdMarkHead[:]
	}
	return func(yield func(int64) bool) {
		for i := 0; ; i++ {
			n := bytes.Index(b[i:], needle)
			if n < 0 || !yield(at+int64(i+n)) {
				return
			}
			i += n
		}
	}
}

// believe tells whether a mark is one. It is where it says where it stands, or
// if as many bytes were lost before it as before the last chunk. Else its
// content has to prove it.
func (s *survey) believe(p *piece) bool {
	shift := int64(p.entry.FileOffset) - p.at
	if shift == s.shift {
		return true
	}
	if p.kind == pieceTorn || !s.afford(p) {
		return false
	}
	if _, err := s.r.loadAt(p.at, p.entry, &s.buf); err != nil {
		return false
	}
	s.shift = shift
	return true
}

// proofs is how many bytes of a file may be read for proofs: enough for any
// that is damaged by chance.
func proofs(size int64) int64 { return 2*size + MaxChunkLen }

// afford tells whether a chunk may be read for a proof.
func (s *survey) afford(p *piece) bool {
	s.proof -= int64(p.entry.StoredLen) + int64(p.entry.ContentLen)
	return s.proof > 0
}

func isCorrupt(err error) bool {
	_, ok := errors.AsType[*CorruptError](err)
	return ok
}

// byIndex returns the first chunk at or behind a place that the index knows.
func (s *survey) byIndex(from int64) (piece, bool, error) {
	groups := s.r.groups
	// A group's chunks stand before its index block.
	g := sort.Search(len(groups), func(i int) bool { return groups[i].at > from })
	for ; g < len(groups); g++ {
		if g != s.group {
			entries, err := s.r.entries(g)
			if err != nil {
				return piece{}, false, err
			}
			s.group, s.groupEntries = g, entries
		}
		i, _ := slices.BinarySearchFunc(s.groupEntries, uint64(from), func(e Entry, at uint64) int {
			if e.FileOffset < at {
				return -1
			}
			return 1
		})
		if i < len(s.groupEntries) {
			e := s.groupEntries[i]
			at := int64(e.FileOffset)
			return piece{kind: pieceChunk, at: at, end: at + int64(e.StoredLen), entry: e, badMark: true}, true, nil
		}
	}
	return piece{}, false, nil
}
