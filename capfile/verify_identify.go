package capfile

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// identify tells what stands at a place, if it is anything but a gap.
func (s *survey) identify(at int64) (p piece, ok bool, err error) {
	var buf [MarkLen]byte
	if at < 0 || at > s.r.info.Size {
		return p, false, nil
	}
	b := buf[:min(MarkLen, s.r.info.Size-at)]
	if _, err := s.r.f.ReadAt(b, at); err != nil {
		return p, false, fmt.Errorf("read at byte %d: %w", at, err)
	}
	if e, ok := parseMark(b, s.r.info.Form); ok {
		p = piece{kind: pieceChunk, at: at, end: at + int64(e.StoredLen), entry: e}
		if p.end > s.r.info.Size {
			p.kind, p.end = pieceTorn, s.r.info.Size
		}
		return p, true, nil
	}
	return s.identifyRaw(at, b)
}

// parseMark reads the mark at the start of b.
func parseMark(b []byte, f Form) (Entry, bool) {
	entryAt := markEntryAt
	if f == Zstd {
		entryAt = zstdMarkEntryAt
	}
	if len(b) < MarkLen {
		return Entry{}, false
	}
	e, err := decodeEntry(b[entryAt:])
	if err != nil || int64(e.FileOffset) < 0 {
		return Entry{}, false
	}
	var want [MarkLen]byte
	putMark(want[:], f, &e)
	return e, bytes.Equal(b[:MarkLen], want[:])
}

// identifyRaw knows the statistics and the index blocks; b is what stands at at.
func (s *survey) identifyRaw(at int64, b []byte) (p piece, ok bool, err error) {
	le := binary.LittleEndian
	p = piece{at: at}
	body, size, lastBit := at, -1, false
	if s.r.info.Form == Zstd {
		if len(b) < zstdblock.HeaderLen {
			return p, false, nil
		}
		var kind int
		if kind, size, lastBit = zstdblock.Header(b); kind != zstdblock.Raw {
			return p, false, nil
		}
		b, body = b[zstdblock.HeaderLen:], at+zstdblock.HeaderLen
	}
	if len(b) < 8 {
		return p, false, nil
	}
	length := int64(le.Uint32(b[4:]))
	if s.r.info.Form == Zstd && int64(size) != length || length > s.r.info.Size-body {
		return p, false, nil
	}
	p.end = body + length
	switch le.Uint32(b) {
	case pcapng.BlockInterfaceStatistics:
		if length != pcapng.StatisticsLen || lastBit {
			return p, false, nil
		}
		p.kind = pieceStatistics
		p.statistics, ok = parseStatistics(b[:length])
		return p, ok, nil
	case BlockIndex:
		if length < indexOverhead || length > maxIndexBlockLen {
			return p, false, nil
		}
		err = p.block.read(s.r.f, body, length)
		if err != nil {
			if isCorrupt(err) {
				err = nil
			}
			return p, false, err
		}
		return s.identifyEnd(p, lastBit)
	}
	return p, false, nil
}

// identifyEnd tells an index block from the last one.
func (s *survey) identifyEnd(p piece, lastBit bool) (piece, bool, error) {
	p.kind = pieceIndex
	if last := p.block.statistics != 0; !last {
		return p, !lastBit, nil
	}
	p.kind = pieceEnd
	if s.r.info.Form != Zstd {
		return p, true, nil
	}
	var sum [zstdChecksumLen]byte
	if !lastBit || p.end+zstdChecksumLen > s.r.info.Size {
		return p, false, nil
	}
	if _, err := s.r.f.ReadAt(sum[:], p.end); err != nil {
		return p, false, fmt.Errorf("read the checksum at byte %d: %w", p.end, err)
	}
	p.checksum = binary.LittleEndian.Uint32(sum[:])
	p.end += zstdChecksumLen
	return p, true, nil
}
