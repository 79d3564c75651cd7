package capfile

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/tunrec/tunrec/pcapng"
)

// RepairPcap copies the whole packets of a pcap stream that another program has
// made, whatever its link type, byte order and unit of time, to what create
// makes, as pcapng. It leaves out what is damaged and what the end has cut. A
// stream that does not begin with a whole pcap header gives ErrForeign, and
// create is not called.
//
// Nothing marks a record of pcap, and nothing guards its bytes: it is believed
// where others follow it. Behind damage the next one is taken that makes
// sense, was captured about when the last one was, and has another one behind
// it. It takes 3 MiB of memory.
func RepairPcap(stream io.Reader, create func() (io.Writer, error), o RepairOptions) (Repaired, error) {
	p := &records{in: newLookahead(stream, 2*recordsAhead)}
	head, err := p.in.peek(pcapHeaderLen)
	if err != nil && err != io.EOF {
		return Repaired{}, err
	}
	if !p.readHeader(head) {
		return Repaired{}, fmt.Errorf("%w: no whole header, with which pcap begins", ErrForeign)
	}
	section, err := p.section(head)
	if err != nil {
		return Repaired{}, err
	}
	return repairStream(create, o, func(out io.Writer, r *losses) error {
		if _, err := out.Write(section); err != nil {
			return err
		}
		p.skip(pcapHeaderLen)
		return p.copyTo(out, r)
	})
}

// Layout of a pcap file (draft-ietf-opsawg-pcap §4 and §5), 32-bit fields but
// for the version:
//
//	file    | magic | major, minor | 2 reserved | snaplen | link type |
//	record  | seconds | fraction | captured length | original length | data
const (
	pcapHeaderLen    = 24
	pcapRecordLen    = 16 // without data
	pcapMicroseconds = 0xA1B2C3D4
	pcapNanoseconds  = 0xA1B23C4D
)

// nearSeconds is how far apart in time packets may be that stand side by side:
// a quiet network may send one a day, and other bytes seldom look like such.
const nearSeconds = 30 * 24 * 3600

// Behind damage a record is believed that has one more behind it, or so many
// if it was not captured near the last one: the clock may have been set.
const farFollowers = 3

// recordsAhead holds a record that may be damaged, and all those that have to
// prove one of its bytes to be the next one.
const recordsAhead = (2 + farFollowers) * (pcapRecordLen + maxPacketLen)

// records reads the records of a pcap stream.
type records struct {
	in      *lookahead
	at      int64
	order   binary.ByteOrder
	units   uint32 // of a fraction in a second
	snaplen uint32
	last    pcapRecord // whose time the next one has confirmed
	adrift  bool       // what comes next is no record
}

type pcapRecord struct{ seconds, fraction, captured, original uint32 }

func (r *pcapRecord) len() int { return pcapRecordLen + int(r.captured) }

func (p *records) readHeader(head []byte) bool {
	if len(head) < pcapHeaderLen {
		return false
	}
	for _, p.order = range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch p.order.Uint32(head) {
		case pcapMicroseconds:
			p.units = 1e6
		case pcapNanoseconds:
			p.units = 1e9
		}
		if p.units > 0 {
			p.snaplen = p.order.Uint32(head[16:])
			return true
		}
	}
	return false
}

// section returns a section header and an interface description (draft §4.1,
// §4.2) that say what the pcap header says.
func (p *records) section(head []byte) ([]byte, error) {
	resolution := byte(6)
	if p.units == 1e9 {
		resolution = 9
	}
	linkType := uint16(p.order.Uint32(head[20:])) // the bits above tell of a frame check sequence
	return pcapng.Section{Snaplen: p.snaplen}.EncodeAs(linkType, resolution)
}

func (p *records) copyTo(out io.Writer, r *losses) error {
	block := make([]byte, maxPacketLen+pcapng.PacketOverhead)
	for {
		record, problem, err := p.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if problem != "" {
			gap := Loss{Offset: p.at, From: r.last, Reason: problem}
			if err := p.resync(); err != nil {
				return err
			}
			gap.End = p.at
			r.lose(gap)
			continue
		}
		b, err := p.in.peek(record.len())
		if err != nil {
			return err
		}
		r.last = int64(record.seconds)*1e9 + int64(record.fraction)*int64(1e9/p.units)
		r.report(r.last)
		n := copy(block[pcapng.PacketHeaderLen:], b[pcapRecordLen:])
		n = pcapng.PutPacket(block, n, int(max(record.original, record.captured)),
			int64(record.seconds)*int64(p.units)+int64(record.fraction))
		if _, err := out.Write(block[:n]); err != nil {
			return err
		}
		r.Packets++
		p.skip(len(b))
		if r.o.Progress != nil {
			r.o.Progress(p.at)
		}
	}
}

func (p *records) skip(n int) { p.at += int64(p.in.skip(n)) }

// next returns the record that comes next, or a problem: what speaks against
// it. io.EOF is the end, other errors are of reading.
func (p *records) next() (r pcapRecord, problem string, err error) {
	r, left, err := p.peek(0)
	switch {
	case err != nil:
		return r, "", err
	case left == 0:
		return r, "", io.EOF
	case left < pcapRecordLen:
		return r, fmt.Sprintf("cut off: %d bytes are left", left), nil
	case p.adrift || !r.possible():
		return r, fmt.Sprintf("no record: %d captured bytes of %d", r.captured, r.original), nil
	}
	behind, left, err := p.peek(r.len())
	switch {
	case err != nil:
		return r, "", err
	case left < 0:
		return r, fmt.Sprintf("cut off: %d of %d bytes are there", r.len()+left, r.len()), nil
	case left < pcapRecordLen: // the end, or a header that is cut
		return r, "", nil
	case behind.possible() && (r.near(&behind) || behind.usual()):
		if r.near(&behind) {
			p.last = r
		}
		return r, "", nil
	case p.unbroken():
		return r, "", nil
	}
	switch n := p.search(r.len()); {
	case n == r.len():
		return r, "", nil
	case n == 0 && (r.usual() || p.plausible(&r) && p.timely(&r) && !p.believe(pcapRecordLen+int(r.original))):
		p.adrift = true // it is what comes behind it that is damaged
		return r, "", nil
	}
	return r, "no record stands behind this one: a length is wrong, or bytes are missing", nil
}

// peek returns the record at that many bytes from here, if it is there, and
// how many bytes are left there, up to all of its header; less than 0: the end
// comes before.
func (p *records) peek(off int) (r pcapRecord, left int, err error) {
	b, err := p.in.peek(off + pcapRecordLen)
	if err != nil && err != io.EOF {
		return r, 0, err
	}
	if left = len(b) - off; left < pcapRecordLen {
		return r, left, nil
	}
	u32 := func(i int) uint32 { return p.order.Uint32(b[off+i:]) }
	return pcapRecord{u32(0), u32(4), u32(8), u32(12)}, left, nil
}

// possible tells whether a record is one at all. Zeros are none.
func (r *pcapRecord) possible() bool { return *r != (pcapRecord{}) && r.captured <= maxPacketLen }

// near tells whether two packets came at about the same time.
func (r *pcapRecord) near(o *pcapRecord) bool {
	return max(r.seconds, o.seconds)-min(r.seconds, o.seconds) <= nearSeconds
}

// usual tells whether both lengths of a record say the same thing.
func (r *pcapRecord) usual() bool { return r.captured > 0 && r.captured == r.original }

// plausible tells whether a record that is in doubt may be one.
func (p *records) plausible(r *pcapRecord) bool {
	return r.possible() && r.captured > 0 && r.captured <= r.original && r.fraction < p.units &&
		(p.snaplen == 0 || r.captured <= p.snaplen)
}

// timely tells whether a packet came about when the last one did.
func (p *records) timely(r *pcapRecord) bool { return !p.last.possible() || r.near(&p.last) }

// unbroken tells whether a record stands here, which no damage is before, that
// has others behind it, or the end, whenever they were captured.
func (p *records) unbroken() bool {
	off := 0
	for i := range 1 + farFollowers {
		r, left, err := p.peek(off)
		switch {
		case err != nil:
			return false
		case left < pcapRecordLen:
			return i > 1 && left >= 0 || i > 2
		case !p.plausible(&r) || i > 0 && r.shifted():
			return false
		}
		off += r.len()
	}
	return true
}

// shifted tells whether this may be a usual record, read four bytes too late:
// its fraction is taken for the time, and its lengths stand side by side.
func (r *pcapRecord) shifted() bool { return r.seconds < 1e9 && r.fraction == r.captured }

// resync goes on to the next record that can be believed, or to the end.
func (p *records) resync() error {
	p.adrift = false
	const step = 64 << 10
	for {
		n := p.search(step)
		p.skip(cmp.Or(n, step))
		left, err := p.in.peek(1)
		if err == io.EOF {
			err = nil
		}
		if err != nil || n > 0 || len(left) == 0 {
			return err
		}
	}
}

// search returns how many bytes from here the next record stands that can be
// believed, from 1 on; 0: there is none up to the byte to.
func (p *records) search(to int) int {
	for off := 1; off <= to; off++ {
		ahead, _ := p.in.peek(to + pcapRecordLen) // again: believe has looked, too
		if off = p.candidate(ahead, off); off > to || off > len(ahead)-pcapRecordLen {
			return 0
		}
		if p.believe(off) {
			return off
		}
	}
	return 0
}

// candidate returns where, from off on, a record may begin that is plausible, by its
// captured length; where none does, the first place at which too few bytes are there.
func (p *records) candidate(ahead []byte, off int) int {
	swapped := p.order == binary.ByteOrder(binary.BigEndian)
	for ; off <= len(ahead)-pcapRecordLen; off++ {
		captured := binary.LittleEndian.Uint32(ahead[off+8:])
		if swapped {
			captured = bits.ReverseBytes32(captured)
		}
		if captured > 0 && captured <= maxPacketLen {
			break
		}
	}
	return off
}

// believe tells whether a record stands there that has others behind it, or
// the end.
func (p *records) believe(off int) bool {
	var before pcapRecord
	near, followers := false, farFollowers
	for i := 0; i <= followers; i++ {
		r, left, err := p.peek(off)
		switch {
		case err != nil:
			return false
		case left < pcapRecordLen:
			return near && (i > 1 || i == 1 && left >= 0) || i > 1 && left == 0
		case !p.plausible(&r) || i > 0 && !r.near(&before):
			return false
		case i == 0 && r.seconds < 1e9 && !r.usual():
			return false // these may be the fraction: a record, read four bytes too late
		case i == 0 && p.last.possible() && r.near(&p.last):
			near, followers = true, 1
		}
		before = r
		off += r.len()
	}
	return true
}
