package capfile

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// ErrDamagedInside: a file is damaged at another place than its end, which a
// repair in place does not change.
var ErrDamagedInside = errors.New("damaged before its end")

// maxToldLosses bounds the memory for what is lost at the end of a file.
const maxToldLosses = 1000

// InPlaceFile is a file that is repaired in place, as *os.File is.
type InPlaceFile interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
}

// RepairInPlace gives a file that was cut short its end: what stands behind
// the last whole chunk is replaced by the packets that can be had from it,
// statistics and index. Nothing before is rewritten. A file that is whole is
// not touched; one that is damaged elsewhere neither, the error is then
// ErrDamagedInside.
//
// The end is made in memory and written at once. If that fails the old one is
// put back; if the machine fails in between, all whole chunks are still there,
// and the file can be repaired again.
func RepairInPlace(f InPlaceFile, size int64, o RepairOptions) (Repaired, error) {
	s, damage, err := newSurvey(f, size)
	if err != nil {
		return Repaired{}, err
	}
	if damage != nil {
		return Repaired{}, fmt.Errorf("%w, at byte %d: %s", ErrDamagedInside, damage.Offset, damage.Reason)
	}
	p := inPlace{losses: losses{o: o}, s: s}
	var lost []Loss // is told of when it is certain that the file is repaired
	p.losses.o.Loss = func(l Loss) {
		if len(lost) < maxToldLosses {
			lost = append(lost, l)
		}
	}
	p.v = verifier{s: s, checksum: xxhash.New(), intact: true}
	p.v.Form = s.r.info.Form
	p.v.o.Problem = func(problem Problem) { p.problem = &problem }
	if err := p.v.header(); err != nil {
		return Repaired{}, err
	}
	p.Form, p.at = p.v.Form, size
	if err := s.each(p.visit); err != nil {
		return p.Repaired, err
	}
	if p.problem != nil {
		return p.Repaired, fmt.Errorf("%w: %v", ErrDamagedInside, *p.problem)
	}
	p.report(0)
	if p.v.ended && !p.broken {
		p.Whole = true
		return p.Repaired, nil
	}
	end, err := p.makeEnd()
	if err != nil {
		return p.Repaired, err
	}
	for _, l := range lost {
		if o.Loss != nil {
			o.Loss(l)
		}
	}
	return p.Repaired, replaceEnd(f, size, p.at, end, o)
}

// inPlace goes through a file up to where its end is missing.
type inPlace struct {
	losses
	s *survey
	v verifier

	at       int64 // where the new end begins
	broken   bool  // what stands there is not whole
	salvaged *Chunk
	problem  *Problem
	before   *verifier // as it was before the statistics
}

func (p *inPlace) visit(c *checked) error {
	if p.o.Progress != nil {
		p.o.Progress(c.end)
	}
	bad := c.kind == pieceGap || c.kind == pieceTorn || c.kind == pieceChunk && c.chunk == nil
	switch {
	case p.broken && !bad:
		return fmt.Errorf("%w: what begins at byte %d cannot be read, what begins at byte %d can", ErrDamagedInside, p.at, c.at)
	case bad:
		return p.breakOff(c)
	case c.kind == pieceStatistics:
		before, sum := p.v, *p.v.checksum
		before.checksum, before.seen = &sum, slices.Clone(p.v.seen)
		p.before, p.at, p.statistics = &before, c.at, &c.statistics
	case c.kind == pieceChunk:
		p.know(&c.entry)
		p.had(&c.entry)
	}
	return p.v.visit(c)
}

// breakOff is called for what is not whole, which has to be the last thing.
func (p *inPlace) breakOff(c *checked) error {
	if !p.broken && p.before == nil {
		p.at = c.at
	}
	p.broken = true
	switch {
	case p.before != nil || c.kind == pieceTorn && c.entry.StoredLen == 0:
	case c.kind == pieceTorn && p.salvaged == nil:
		chunk, err := p.s.r.salvage(c, p.Form)
		if err != nil {
			return err
		}
		chunk.Content, chunk.encoded = slices.Clone(chunk.Content), slices.Clone(chunk.encoded)
		p.salvaged, p.Salvaged = chunk, uint64(chunk.Packets)
		p.torn(c, chunk.Packets)
	case c.kind == pieceChunk:
		p.chunk(c)
	default:
		p.gap(c)
	}
	return nil
}

// makeEnd returns what has to stand behind the last whole chunk.
func (p *inPlace) makeEnd() ([]byte, error) {
	v := &p.v
	if p.before != nil {
		v = p.before
	}
	var end inMemory
	w := &Writer{f: &end, form: p.Form, size: uint64(p.at), content: v.content, checksum: v.checksum,
		totals: v.totals, entries: slices.Clone(v.seen), listed: v.listed, previous: v.previous}
	c := p.salvaged
	if c == nil && p.carry != (Entry{}) {
		c = countsChunk(Entry{}, p.Form)
	}
	if c != nil {
		c.AddCounts(&p.carry)
		p.had(&c.Entry)
		if err := w.WriteChunk(c); err != nil {
			return nil, err
		}
	}
	err := w.Close(p.end())
	return end, err
}

// inMemory is a File.
type inMemory []byte

func (m *inMemory) Write(b []byte) (int, error) {
	*m = append(*m, b...)
	return len(b), nil
}

func (m *inMemory) Truncate(int64) error { return nil } // follows a failed Write only

// replaceEnd replaces what stands from byte at on.
func replaceEnd(f InPlaceFile, size, at int64, end []byte, o RepairOptions) error {
	old := make([]byte, min(int64(len(end)), size-at))
	if _, err := io.ReadFull(io.NewSectionReader(f, at, size-at), old); err != nil {
		return fmt.Errorf("read the end at byte %d: %w", at, err)
	}
	if o.Changing != nil {
		o.Changing()
	}
	_, err := f.WriteAt(end, at)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_, putBack := f.WriteAt(old, at)
		return errors.Join(fmt.Errorf("write the end at byte %d: %w", at, err), putBack, f.Truncate(size))
	}
	return errors.Join(f.Truncate(at+int64(len(end))), f.Sync())
}
