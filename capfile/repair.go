package capfile

import (
	"fmt"
	"io"

	"github.com/tunrec/tunrec/pcapng"
)

// Loss is a part of a file that could not be had.
type Loss struct {
	Offset, End int64  // where it stands in the file, in bytes
	Packets     uint64 // how many packets were in it
	Known       bool   // else nothing tells how many there were
	From, To    int64  // when they came, ns since 1970-01-01 00:00 UTC; 0: nobody knows
	Reason      string
}

// Repaired is what a repair has had from a file.
type Repaired struct {
	Form     Form
	Chunks   uint64
	Packets  uint64
	Salvaged uint64 // packets of these that come from a chunk that the end of the file had cut
	Lost     uint64 // packets that are known to be lost
	Unknown  bool   // more may be, and nothing tells how many
	Whole    bool   // nothing was wrong
}

// RepairOptions tell where a repair reports to. All may be nil.
type RepairOptions struct {
	Loss     func(Loss)       // is called for each, in the order of the file
	Progress func(done int64) // bytes of the file that have been read

	// Changing is called before a repair in place changes the file. The process
	// should not be ended between then and the return.
	Changing func()
}

// Repair makes a whole file from the first size bytes of f, which may have been
// cut anywhere, or have damaged, zeroed or missing parts. Whole chunks are
// taken over as they stand; of one that the end of the file has cut, the
// packets up to there are. Statistics and index are made anew; what is lost
// is counted in them as dropped, where it was.
//
// The new file has the form of the old one. In the zstd form its window is
// 8 MiB, the largest one, because the old one's may be damaged. It is made by
// create, which is not called where f has no chunk to be found: the error is
// then one of reading, ErrForeign, or a *CorruptError. It takes less than
// 200 MiB of memory for any file.
func Repair(f io.ReaderAt, size int64, create func(Form) (File, error), o RepairOptions) (Repaired, error) {
	s, damage, err := newSurvey(f, size)
	if err != nil {
		return Repaired{}, err
	}
	form := s.r.info.Form
	out, err := create(form)
	if err != nil {
		return Repaired{}, err
	}
	s.r.header.window = window8MiB
	c := Config{Form: form, Section: s.r.info.Section}
	if form == Zstd {
		c.WindowBytes = 8 << 20
	}
	if c.Section.Application == "" {
		c.Section.Application = application
	}
	w, err := NewWriter(out, c)
	if err != nil {
		return Repaired{}, err
	}
	p := repairer{losses: losses{o: o}, s: s, w: w}
	p.Form = form
	if damage != nil {
		p.lose(Loss{End: s.at, Reason: damage.Reason})
	}
	if err = s.each(p.visit); err == nil {
		err = p.close()
	}
	return p.Repaired, err
}

// window8MiB is the window descriptor of 8 MiB (RFC 8878 §3.1.1.1.2).
const window8MiB = 0x68

type repairer struct {
	losses
	s *survey
	w *Writer

	damaged bool
	ended   bool // the last index block was there
}

func (p *repairer) visit(c *checked) error {
	if p.o.Progress != nil {
		p.o.Progress(c.end)
	}
	switch {
	case c.kind == pieceTorn && c.entry.StoredLen > 0:
		chunk, err := p.s.r.salvage(c, p.w.form)
		if err != nil {
			return err
		}
		p.Salvaged = uint64(chunk.Packets)
		p.torn(c, chunk.Packets)
		return p.write(chunk)
	case c.kind == pieceTorn:
		return nil // no chunk: a mark or an index block that has only begun
	case c.kind == pieceGap && p.statistics != nil:
		p.damaged = true // the last index block, or bytes behind the end: nothing is lost
	case c.kind == pieceGap:
		p.gap(c)
	case c.kind == pieceStatistics:
		p.statistics = &c.statistics
	case c.kind == pieceIndex || c.kind == pieceEnd:
		p.ended = c.kind == pieceEnd
		p.listed(&c.block)
	case c.kind == pieceChunk && c.chunk == nil:
		p.chunk(c)
	case c.kind == pieceChunk:
		p.damaged = p.damaged || c.badMark
		p.know(&c.entry)
		return p.write(c.chunk)
	}
	return nil
}

// write writes a chunk, with the counts of what was lost before it.
func (p *repairer) write(c *Chunk) error {
	p.report(c.Earliest)
	p.had(&c.Entry)
	c.AddCounts(&p.carry)
	p.carry = Entry{}
	return p.w.WriteChunk(c)
}

func (p *repairer) close() error {
	p.report(0)
	if p.carry != (Entry{}) { // counts that belong to no packets: a chunk without any
		if err := p.w.WriteChunk(countsChunk(p.carry, p.Form)); err != nil {
			return err
		}
	}
	err := p.w.Close(p.end())
	p.Whole = p.ended && !p.damaged && !p.any
	return err
}

// losses adds up what was had and what was not.
type losses struct {
	Repaired
	o RepairOptions

	all        pcapng.Statistics  // of all chunks whose entry is known, lost ones too
	known      uint64             // how many these are
	statistics *pcapng.Statistics // of the file as it was, where they are
	carry      Entry              // counts for the next chunk
	waiting    []Loss             // until it is known when the next packet came
	any        bool
	first      int64 // time stamps of what was had
	last       int64
}

// chunk is about one that is damaged.
func (l *losses) chunk(c *checked) {
	e := &c.entry
	l.forget(e, e.Packets)
	l.lose(Loss{Offset: c.at, End: c.end, Packets: uint64(e.Packets), Known: true,
		From: e.Earliest, To: e.Latest, Reason: c.err.Reason})
}

// torn is about a chunk that the end of the file has cut, of which some
// packets were had.
func (l *losses) torn(c *checked, had uint32) {
	e := &c.entry
	lost := e.Packets - min(had, e.Packets)
	l.know(e)
	l.carry.AddCounts(&Entry{Dropped: uint64(lost)})
	l.lose(Loss{Offset: c.at, End: c.end, Packets: uint64(lost), Known: true, From: e.Earliest, To: e.Latest,
		Reason: fmt.Sprintf("the file ends in this chunk: %d of its %d packets are there", had, e.Packets)})
}

// know counts a chunk that is in the file, lost or not.
func (l *losses) know(e *Entry) {
	e.addTo(&l.all)
	l.known++
}

// listed is about an index block: it may tell that there was no chunk in the
// gaps before.
func (l *losses) listed(b *indexBlock) {
	if b.first+uint64(len(b.entries)) != l.known {
		return
	}
	l.Unknown = false
	for i := range l.waiting {
		l.waiting[i].Known = true
	}
}

// gap is about bytes that are nothing.
func (l *losses) gap(c *checked) {
	l.lose(Loss{Offset: c.at, End: c.end, From: l.last,
		Reason: fmt.Sprintf("%d bytes are neither chunk nor index", c.end-c.at)})
}

// forget counts the packets of a chunk as dropped before the next one.
func (l *losses) forget(e *Entry, packets uint32) {
	l.know(e)
	l.carry.AddCounts(e)
	l.carry.AddCounts(&Entry{Dropped: uint64(packets)})
}

func (l *losses) lose(loss Loss) {
	l.any = true
	l.Lost += loss.Packets
	l.Unknown = l.Unknown || !loss.Known
	if l.waiting = append(l.waiting, loss); loss.Known {
		l.report(loss.From)
	}
}

// report tells of the losses, the next packet after which came then.
func (l *losses) report(next int64) {
	for _, loss := range l.waiting {
		if loss.To == 0 {
			loss.To = next
		}
		if l.o.Loss != nil {
			l.o.Loss(loss)
		}
	}
	l.waiting = l.waiting[:0]
}

// had counts a chunk that goes into the new file.
func (l *losses) had(e *Entry) {
	l.Chunks++
	if e.Packets == 0 {
		return
	}
	if l.Packets == 0 {
		l.first, l.last = e.Earliest, e.Latest
	}
	l.first, l.last = min(l.first, e.Earliest), max(l.last, e.Latest)
	l.Packets += uint64(e.Packets)
}

// end is what the statistics of the old file tell of the new one. Where they
// count more packets than the chunks that are known, the others are lost.
func (l *losses) end() End {
	s := l.statistics
	if s == nil {
		return End{Start: l.first, Stop: l.last}
	}
	var unknown uint64
	if l.Unknown && s.Delivered >= l.all.Delivered {
		unknown = s.Delivered - l.all.Delivered
		l.Lost, l.Unknown = l.Lost+unknown, false
	}
	return End{Start: s.Start, Stop: s.End, Lost: unknown, Counts: unplaced(*s, l.all)}
}
