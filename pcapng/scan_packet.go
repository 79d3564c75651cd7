package pcapng

import (
	"math"
	"math/bits"
)

// Sizes of what stands before a block's packet or options (draft §4).
const (
	sectionFixedLen    = 16 // magic, version, section length
	interfaceFixedLen  = 8  // link type, reserved, snaplen
	packetFixedLen     = 20 // interface, time, captured and original length
	simpleFixedLen     = 4  // original length
	statisticsFixedLen = 12 // interface, time
)

// A section of more interfaces, or a longer name, is not real, and what is
// kept of them has to stay bounded.
const (
	maxInterfaces    = 1 << 16
	maxInterfaceName = 255
)

// Options of the Interface Description Block (draft §4.2).
const (
	optIDBName        = 2
	optIDBDescription = 3
	optIDBTsresol     = 9
	optIDBFilter      = 11
	optIDBOS          = 12
	optIDBTsoffset    = 14
)

// Interface is what an Interface Description Block says.
type Interface struct {
	LinkType uint16 // LINKTYPE_ number
	Snaplen  uint32 // bytes kept of each packet; 0 is no limit
	Name     string // if_name, its first 255 bytes; may be empty

	clock clock
}

// UnixNano turns a timestamp of this interface, in the units that its
// if_tsresol and if_tsoffset set, into nanoseconds since 1970. A time that
// does not fit (before 1677, after 2262) becomes the nearest one that does.
func (i *Interface) UnixNano(timestamp uint64) int64 { return i.clock.unixNano(timestamp) }

// Packet is one captured packet. It is valid until Scanner.Next.
type Packet struct {
	Interface *Interface
	UnixNano  int64  // 0 in a Simple Packet Block, which has no time
	Data      []byte // as captured, link header included
	OrigLen   uint32 // length on the wire as the file says it; not checked against Data
}

// Packet returns the packet of the current block, or nil where the block is
// none of Enhanced Packet Block, Simple Packet Block and Packet Block.
func (s *Scanner) Packet() *Packet {
	if !s.hasPacket {
		return nil
	}
	return &s.packet
}

// parse checks the body of the block and keeps what later blocks depend on.
func (s *Scanner) parse() error {
	switch s.typ {
	case BlockEnhancedPacket:
		if len(s.body) < packetFixedLen {
			return s.tooShort()
		}
		return s.parsePacket(s.order.u32(s.body))
	case BlockPacket:
		if len(s.body) < packetFixedLen {
			return s.tooShort()
		}
		return s.parsePacket(uint32(s.order.u16(s.body)))
	case BlockSimplePacket:
		return s.parseSimplePacket()
	case BlockInterfaceDescription:
		return s.parseInterface()
	case BlockSectionHeader:
		return s.parseSection()
	case BlockInterfaceStatistics:
		if len(s.body) < statisticsFixedLen {
			return s.tooShort()
		}
	}
	return nil
}

func (s *Scanner) tooShort() error {
	return s.corrupt("block of type %d is too short for its fields", s.typ)
}

func (s *Scanner) parseSection() error {
	s.interfaces = nil
	if len(s.body) < sectionFixedLen {
		return s.tooShort()
	}
	// Version 1.2 was written by some tools and means 1.0 (draft §4.1).
	major, minor := s.order.u16(s.body[4:]), s.order.u16(s.body[6:])
	if major != 1 || (minor != 0 && minor != 2) {
		return s.corrupt("pcapng version %d.%d, only 1.0 is known", major, minor)
	}
	return nil
}

func (s *Scanner) parseInterface() error {
	if len(s.body) < interfaceFixedLen {
		return s.tooShort()
	}
	if len(s.interfaces) == maxInterfaces {
		return s.corrupt("more than %d interfaces in a section", maxInterfaces)
	}
	i := &Interface{LinkType: s.order.u16(s.body), Snaplen: s.order.u32(s.body[4:])}
	resolution, offset := byte(6), int64(0) // microseconds, where nothing else is said
	options := s.Options()
	for options.Next() {
		switch v := options.Value; {
		case options.Code == optIDBName:
			i.Name = string(v[:min(len(v), maxInterfaceName)])
		case options.Code == optIDBTsresol && len(v) == 1:
			resolution = v[0]
		case options.Code == optIDBTsoffset && len(v) == 8:
			offset = int64(s.ByteOrder().Uint64(v))
		}
	}
	if err := options.Err(); err != nil {
		return err
	}
	i.clock = newClock(resolution, offset)
	s.interfaces = append(s.interfaces, i)
	return nil
}

// parsePacket reads an Enhanced Packet Block or the obsolete Packet Block:
// from the timestamp on they are alike.
func (s *Scanner) parsePacket(id uint32) error {
	if uint64(id) >= uint64(len(s.interfaces)) {
		return s.corrupt("packet of interface %d, but the section describes %d", id, len(s.interfaces))
	}
	captured := s.order.u32(s.body[12:])
	if uint64(captured) > uint64(len(s.body)-packetFixedLen) {
		return s.corrupt("packet of %d captured bytes in a block of %d", captured, len(s.body))
	}
	i := s.interfaces[id]
	p := &s.packet
	p.Interface = i
	p.UnixNano = i.clock.unixNano(uint64(s.order.u32(s.body[4:]))<<32 | uint64(s.order.u32(s.body[8:])))
	p.Data = s.body[packetFixedLen : packetFixedLen+captured : packetFixedLen+captured]
	p.OrigLen = s.order.u32(s.body[16:])
	s.hasPacket = true
	return nil
}

// parseSimplePacket reads a block that says neither interface (it is the
// first) nor time nor captured length (the snaplen and the original length
// tell it).
func (s *Scanner) parseSimplePacket() error {
	if len(s.body) < simpleFixedLen {
		return s.tooShort()
	}
	if len(s.interfaces) == 0 {
		return s.corrupt("packet of interface 0, but the section describes 0")
	}
	i, origLen := s.interfaces[0], s.order.u32(s.body)
	captured := origLen
	if i.Snaplen != 0 {
		captured = min(captured, i.Snaplen)
	}
	if uint64(captured) > uint64(len(s.body)-simpleFixedLen) {
		return s.corrupt("packet of %d captured bytes in a block of %d", captured, len(s.body))
	}
	s.packet = Packet{Interface: i, Data: s.body[simpleFixedLen : simpleFixedLen+captured : simpleFixedLen+captured], OrigLen: origLen}
	s.hasPacket = true
	return nil
}

// clock turns timestamps into nanoseconds since 1970:
// (timestamp × mul >> shift) ÷ div + offset, in 128 bits.
type clock struct {
	mul, div uint64
	shift    uint
	hi, lo   uint64 // offset, two's complement
}

// newClock reads if_tsresol (10^-n seconds, or 2^-n with the top bit set) and
// if_tsoffset (seconds); draft §4.2.
func newClock(resolution byte, offset int64) clock {
	c := clock{mul: 1, div: 1}
	n := uint(resolution & 0x7f)
	switch {
	case resolution&0x80 != 0:
		c.mul, c.shift = 1e9, n
	case n <= 9:
		c.mul = pow10(9 - n)
	case n <= 9+19:
		c.div = pow10(n - 9)
	default:
		c.mul = 0 // 2^64 units are less than a nanosecond
	}
	c.hi, c.lo = bits.Mul64(uint64(offset), 1e9)
	if offset < 0 {
		c.hi -= 1e9 // uint64(offset) is offset + 2^64
	}
	return c
}

func (c *clock) unixNano(timestamp uint64) int64 {
	hi, lo := bits.Mul64(timestamp, c.mul)
	if c.shift >= 64 {
		hi, lo = 0, hi>>(c.shift-64)
	} else if c.shift > 0 {
		hi, lo = hi>>c.shift, hi<<(64-c.shift)|lo>>c.shift
	}
	if c.div > 1 {
		lo /= c.div // mul is 1 and shift 0 here: hi is 0
	}
	lo, carry := bits.Add64(lo, c.lo, 0)
	hi += c.hi + carry
	if int64(hi) == int64(lo)>>63 {
		return int64(lo)
	}
	if int64(hi) < 0 {
		return math.MinInt64
	}
	return math.MaxInt64
}

func pow10(n uint) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
