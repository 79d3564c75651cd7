package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
)

// MaxBlockLength is the largest total length of a block, in bytes, that a
// Scanner believes. libpcap has the same limit (sf-pcapng.c).
const MaxBlockLength = 16 << 20

// Every block is framed by its type, its total length, and the length again
// (draft-ietf-opsawg-pcapng §3.1):
//
//	0       4       8                 length-4
//	| type  | length | body, padded to 4 | length |
const (
	blockHeaderLen  = 8
	blockTrailerLen = 4
	minBlockLength  = blockHeaderLen + blockTrailerLen
)

// scanBufferLen is a compromise: few reads, yet it stays in the cache.
const scanBufferLen = 256 << 10

// CorruptError says that a stream is not pcapng any more, where, and why.
type CorruptError struct {
	Offset int64  // where the damaged block begins, in bytes from the start of the stream
	Reason string // what is wrong with it
	Err    error  // what the reader returned; io.ErrUnexpectedEOF in a stream cut short; nil for bad content
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("pcapng block at byte %d: %s", e.Offset, e.Reason)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// A Scanner reads a pcapng stream block by block: sections of either byte
// order, one after another, each with its interfaces. It believes no length
// before it has checked it, and allocates nothing per packet. Common files take
// 256 KiB of memory, the worst of them (blocks of MaxBlockLength, interfaces
// without number) about 50 MiB. It reads no further than it must, so the
// packets of a live stream come out as they arrive. A reader that must not
// block returns os.ErrDeadlineExceeded where it has nothing: so does Next then,
// and goes on from there when it is called again.
//
//	s := pcapng.NewScanner(r)
//	for s.Next() == nil {
//		if p := s.Packet(); p != nil {
//			…
//		}
//	}
//	if s.Err() != nil { … }
//
// A Scanner is for one goroutine.
type Scanner struct {
	r       io.Reader
	readErr error // what r returned last; it is due when buf is used up
	err     error // what ended the scan

	buf      []byte
	pos, end int   // buf[pos:end] is read but not scanned
	offset   int64 // of buf[pos] in the stream: where the next block begins

	order      byteOrder
	interfaces []*Interface

	typ       uint32
	start     int64  // offset of the current block
	body      []byte // of the current block
	packet    Packet
	hasPacket bool
}

// NewScanner returns a Scanner at the start of r.
func NewScanner(r io.Reader) *Scanner { return NewScannerSize(r, scanBufferLen) }

// NewScannerSize is NewScanner for a stream of which little is to be read: it reads n
// bytes at a time, until a block is longer.
func NewScannerSize(r io.Reader, n int) *Scanner {
	return &Scanner{r: r, buf: make([]byte, n)}
}

// Next goes to the next block. At the end of the stream it returns io.EOF,
// at damage a *CorruptError; either way the Scanner stays there. Where the
// stream has no whole block yet it returns os.ErrDeadlineExceeded.
// It ends what Body, Packet and Options returned before.
func (s *Scanner) Next() error {
	if s.err != nil {
		return s.err
	}
	s.hasPacket = false
	if err := s.frame(); err != nil {
		return s.stop(err)
	}
	if err := s.parse(); err != nil {
		return s.stop(err)
	}
	return nil
}

// Err returns what ended the scan: nil while it goes on (or could, when more
// comes) and at the end of the stream, else the *CorruptError that Next returned.
func (s *Scanner) Err() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// Type returns the type of the current block, one of the Block constants or
// any other.
func (s *Scanner) Type() uint32 { return s.typ }

// Offset returns where the current block begins, in bytes from the start of
// the stream. After an error it is where the block that Next failed on begins;
// at the end, the length of the stream.
func (s *Scanner) Offset() int64 { return s.start }

// Body returns the current block without its framing (type and lengths), with
// its padding, in the byte order of ByteOrder. It is valid until Next.
func (s *Scanner) Body() []byte { return s.body }

// ByteOrder returns the byte order of the current section.
func (s *Scanner) ByteOrder() binary.ByteOrder {
	if s.order.big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Interfaces returns what the current section has described so far, by
// interface number. It is valid until Next.
func (s *Scanner) Interfaces() []*Interface { return s.interfaces }

// Memory is about how many bytes of memory the Scanner takes.
func (s *Scanner) Memory() int {
	const perInterface = 512 // with the longest name
	return len(s.buf) + len(s.interfaces)*perInterface
}

func (s *Scanner) stop(err error) error {
	s.body, s.hasPacket = nil, false
	if err != os.ErrDeadlineExceeded { // after which more may come
		s.err = err
	}
	return err
}

func (s *Scanner) corrupt(format string, args ...any) error {
	return &CorruptError{Offset: s.start, Reason: fmt.Sprintf(format, args...)}
}

// frame takes the next whole block out of the stream.
func (s *Scanner) frame() error {
	s.start = s.offset
	if err := s.need(minBlockLength); err != nil {
		return err
	}
	head := s.buf[s.pos:]
	if s.typ = s.order.u32(head); s.typ == BlockSectionHeader {
		// Its own magic says in which byte order its length stands.
		switch magic := binary.LittleEndian.Uint32(head[8:]); magic {
		case ByteOrderMagic:
			s.order.big = false
		case bits.ReverseBytes32(ByteOrderMagic):
			s.order.big = true
		default:
			return s.corrupt("section header without byte-order magic")
		}
	} else if s.start == 0 {
		return s.corrupt("not a section header, with which every pcapng stream begins")
	}

	length := s.order.u32(head[4:])
	if length < minBlockLength || length > MaxBlockLength || length%4 != 0 {
		return s.corrupt("impossible block length %d", length)
	}
	n := int(length)
	if err := s.need(n); err != nil {
		return err
	}
	block := s.buf[s.pos : s.pos+n : s.pos+n]
	if trailer := s.order.u32(block[n-blockTrailerLen:]); trailer != length {
		return s.corrupt("block length is %d at its begin but %d at its end", length, trailer)
	}
	s.body = block[blockHeaderLen : n-blockTrailerLen]
	s.pos += n
	s.offset += int64(n)
	return nil
}

// need makes buf[pos:end] at least n bytes long. The buffer grows only as data
// arrives: a length in a damaged file costs no memory that the file has not.
func (s *Scanner) need(n int) error {
	for empty := 0; s.end-s.pos < n; {
		if s.readErr != nil {
			return s.readError(n)
		}
		if s.pos > 0 {
			s.end = copy(s.buf, s.buf[s.pos:s.end])
			s.pos = 0
		}
		if s.end == len(s.buf) {
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
		var m int
		m, s.readErr = s.r.Read(s.buf[s.end:])
		s.end += m
		if m > 0 {
			empty = 0
		} else if empty++; s.readErr == nil && empty == 100 {
			s.readErr = io.ErrNoProgress
		}
	}
	return nil
}

func (s *Scanner) readError(want int) error {
	have, err := s.end-s.pos, s.readErr
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.readErr = nil
		return os.ErrDeadlineExceeded
	}
	if err == io.EOF {
		if have == 0 {
			return io.EOF
		}
		err = io.ErrUnexpectedEOF
	}
	reason := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		reason = fmt.Sprintf("cut off: %d of at least %d bytes are there", have, want)
	}
	return &CorruptError{Offset: s.start, Reason: reason, Err: err}
}

// byteOrder reads integers in the order of the section. A branch is cheaper
// than a call through binary.ByteOrder.
type byteOrder struct{ big bool }

func (o byteOrder) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if o.big {
		v = bits.ReverseBytes16(v)
	}
	return v
}

func (o byteOrder) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if o.big {
		v = bits.ReverseBytes32(v)
	}
	return v
}
