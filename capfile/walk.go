package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// group is MaxIndexEntries chunks whose entries are read together, fewer only
// at the end of the file: those of one index block or, where the file was
// walked, those between two.
type group struct {
	at               int64 // of the index block, or of the group's first mark
	earliest, latest int64 // time stamps
}

// Group is up to 1,024 chunks of a file whose entries are read together.
type Group struct {
	// Earliest and Latest bound the time stamps of its packets (ns since 1970-01-01
	// 00:00 UTC); they are math.MaxInt64 and math.MinInt64 where it has none.
	Earliest, Latest int64

	r      *Reader
	number int
}

// Groups goes through all chunks in the order of the file, without reading: a
// Group that has nothing of a time range need not be asked for its chunks.
func (r *Reader) Groups() iter.Seq[Group] {
	return func(yield func(Group) bool) {
		for i, g := range r.groups {
			if !yield(Group{g.earliest, g.latest, r, i}) {
				return
			}
		}
	}
}

// Chunks goes through the entries of the group's chunks, in the order of the
// file. An error is one of reading, or a *CorruptError where the file has
// changed since it was opened; it stands for the chunks that do not come then.
func (g Group) Chunks() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		entries, err := g.r.entries(g.number)
		if err != nil && !yield(Entry{}, g.r.named(err)) {
			return
		}
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// findChunks finds the groups of chunks, by the index if there is a good one,
// and adds up what their entries say.
func (r *Reader) findChunks() error {
	err := r.readIndex()
	damage, damaged := errors.AsType[*CorruptError](err)
	if !damaged && !errors.Is(err, ErrNoIndex) {
		r.info.Unplaced = unplaced(r.info.Statistics, r.totals)
		return err
	}
	r.info = Info{Form: r.info.Form, Section: r.info.Section, Size: r.info.Size}
	r.totals, r.groups, r.walked = pcapng.Statistics{}, nil, true
	end, err := r.walk()
	if err != nil {
		return err
	}
	if !damaged {
		damage = end
	}
	damage.File = r.name
	r.info.Damage = damage
	return nil
}

// Chunks goes through the entries of all chunks, see Group.Chunks. Behind an
// error the chunks of the next group follow.
func (r *Reader) Chunks() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for g := range r.Groups() {
			for e, err := range g.Chunks() {
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// entries reads the entries of a group.
func (r *Reader) entries(group int) ([]Entry, error) {
	at := r.groups[group].at
	n := int(min(r.info.Chunks-uint64(group)*MaxIndexEntries, MaxIndexEntries))
	if r.walked {
		return r.readMarks(at, n)
	}
	var b indexBlock
	err := b.read(r.f, at, int64(indexOverhead+n*EntryLen))
	return b.entries, err
}

// readIndex finds the groups by the index, from the last one to the first.
func (r *Reader) readIndex() error {
	err := eachIndexBlock(r.f, r.info.Form, r.info.Size, func(b *indexBlock) error {
		if len(r.groups) == 0 {
			if err := r.readStatistics(b); err != nil {
				return err
			}
		}
		behind := uint64(r.header.end) // what the block's first chunk stands behind
		if b.previous != 0 {
			behind = b.previous + maxIndexBlockLen
		}
		if err := b.check(behind); err != nil {
			return err
		}
		r.add(b.at, b.entries)
		return nil
	})
	slices.Reverse(r.groups)
	return err
}

// check refuses chunks that overlap or are out of order: nobody who reads them
// all reads more than the file holds.
func (b *indexBlock) check(behind uint64) error {
	end := uint64(b.at)
	for i, e := range b.entries {
		if e.FileOffset < behind || e.FileOffset > end || uint64(e.StoredLen) > end-e.FileOffset {
			return corrupt(b.at, "index entry %d: a chunk of %d bytes cannot stand at byte %d",
				b.first+uint64(i), e.StoredLen, e.FileOffset)
		}
		behind = e.FileOffset + uint64(e.StoredLen)
	}
	return nil
}

// readStatistics reads the statistics block that the last index block points to.
func (r *Reader) readStatistics(last *indexBlock) error {
	var b [pcapng.StatisticsLen]byte
	if last.statistics < uint64(r.header.end) || last.statistics > uint64(max(last.at-pcapng.StatisticsLen, 0)) {
		return corrupt(last.at, "statistics are said to be at byte %d", last.statistics)
	}
	at := int64(last.statistics)
	if _, err := r.f.ReadAt(b[:], at); err != nil {
		return fmt.Errorf("read the statistics at byte %d: %w", at, err)
	}
	s, ok := parseStatistics(b[:])
	if !ok {
		return corrupt(at, "no statistics block is there")
	}
	r.info.Statistics = s
	return nil
}

// parseStatistics reads the statistics block that a Writer has written.
func parseStatistics(b []byte) (s pcapng.Statistics, ok bool) {
	le := binary.LittleEndian
	value := func(option int) uint64 { return le.Uint64(b[20+12*option+4:]) }
	stamp := func(option int) int64 { return int64(bits.RotateLeft64(value(option), 32)) } // high half first
	s = pcapng.Statistics{
		Start: stamp(0), End: stamp(1), Received: value(2), Dropped: value(3),
		FilterAccept: value(4), OSDropped: value(5), Delivered: value(6),
	}
	most := max(s.Received, s.Dropped, s.FilterAccept, s.OSDropped, s.Delivered)
	// The block has one layout: if these are its values, it is made of them.
	return s, most <= pcapng.MaxCount && bytes.Equal(s.Append(nil), b)
}

// walk finds the groups from mark to mark. It returns why it came to an end.
func (r *Reader) walk() (*CorruptError, error) {
	between := int64(maxIndexBlockLen)
	if r.info.Form == Zstd {
		between += zstdblock.HeaderLen
	}
	for at := r.header.end; ; {
		entries, err := r.readMarks(at, MaxIndexEntries)
		end, ended := errors.AsType[*CorruptError](err)
		if err != nil && !ended {
			return nil, err
		}
		r.add(at, entries)
		if ended {
			r.info.Statistics = r.totals
			return end, r.refuseForeign()
		}
		last := entries[len(entries)-1]
		at = int64(last.FileOffset) + int64(last.StoredLen) + between
	}
}

// refuseForeign gives ErrForeign for a file without any mark, unless it may
// have been cut off before the first one.
func (r *Reader) refuseForeign() error {
	if r.info.Chunks > 0 {
		return nil
	}
	if !r.header.byTunrec() {
		return fmt.Errorf("%w: it has no marks, and the application is %q", ErrForeign, r.info.Section.Application)
	}
	var b [4]byte
	if _, err := r.f.ReadAt(b[:], r.header.end); err != nil || r.info.Form != Plain {
		return nil
	}
	switch kind := binary.LittleEndian.Uint32(b[:]); {
	case kind == pcapng.BlockEnhancedPacket,
		kind == pcapng.BlockInterfaceStatistics && r.info.Size == r.header.end+pcapng.StatisticsLen:
		return fmt.Errorf("%w: a saved stream, without marks and index", ErrForeign)
	}
	return nil
}

// readMarks reads the entries of n chunks, the first of which begins at byte
// at. Where there are fewer, a *CorruptError says why.
func (r *Reader) readMarks(at int64, n int) ([]Entry, error) {
	var entries []Entry
	for range n {
		e, err := r.readMark(at)
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
		at += int64(e.StoredLen)
	}
	return entries, nil
}

// readMark reads the mark at byte at. Its chunk is in the file as a whole.
func (r *Reader) readMark(at int64) (Entry, error) {
	if r.info.Size-at < MarkLen {
		return Entry{}, cutShort(min(at, r.info.Size), "the file has no index")
	}
	var b, want [MarkLen]byte
	if _, err := r.f.ReadAt(b[:], at); err != nil {
		return Entry{}, fmt.Errorf("read the mark at byte %d: %w", at, err)
	}
	blockAt, entryAt := 0, markEntryAt
	if r.info.Form == Zstd {
		blockAt, entryAt = zstdblock.HeaderLen, zstdMarkEntryAt
	}
	if binary.LittleEndian.Uint32(b[blockAt:]) == pcapng.BlockInterfaceStatistics {
		return Entry{}, cutShort(at, "the file has no index")
	}
	e, err := decodeEntry(b[entryAt:])
	if err != nil {
		return Entry{}, corrupt(at, "the mark of a chunk should be there: %w", err)
	}
	if putMark(want[:], r.info.Form, &e); b != want || e.FileOffset != uint64(at) {
		return Entry{}, corrupt(at, "the mark of a chunk should be there")
	}
	if int64(e.StoredLen) > r.info.Size-at {
		return Entry{}, cutShort(at, "the chunk that begins there is not whole")
	}
	return e, nil
}

// add adds a group to those found.
func (r *Reader) add(at int64, entries []Entry) {
	g := group{at, math.MaxInt64, math.MinInt64}
	i := &r.info
	before := i.Packets
	for _, e := range entries {
		if e.Packets > 0 {
			g.earliest, g.latest = min(g.earliest, e.Earliest), max(g.latest, e.Latest)
		}
		i.Chunks++
		i.Packets += uint64(e.Packets)
		i.OriginalBytes += e.OriginalBytes
		i.ContentBytes += uint64(e.ContentLen)
		i.Dropped += e.DroppedByQueue + e.Dropped
		e.addTo(&r.totals)
	}
	r.groups = append(r.groups, g)
	if i.Packets == before {
		return
	}
	if before == 0 {
		i.First, i.Last = g.earliest, g.latest
	}
	i.First, i.Last = min(i.First, g.earliest), max(i.Last, g.latest)
}
