package capfile

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// application is how the section's application of every file begins that
// tunrec has made.
const application = "tunrec"

// maxHeaderLen bounds the Section Header Block and the Interface Description
// Block together: they hold seven strings of up to 64 KiB.
const maxHeaderLen = 1 << 20

// usualHeaderLen is what most headers are shorter than.
const usualHeaderLen = 4 << 10

// if_tsresol of the Interface Description Block, and its value for nanoseconds
// (draft-ietf-opsawg-pcapng §4.2).
const (
	optIDBTsresol = 9
	tsresolNano   = 9
)

// header is what stands before the first chunk.
type header struct {
	form    Form
	window  byte // Zstd: the frame's window descriptor
	section pcapng.Section
	end     int64 // where in the file it ends
}

// Identify returns the section's description of a file that tunrec has made,
// complete or not, from its header alone. Other files give ErrForeign, a
// header that is damaged or not whole a *CorruptError. A header of usual length is
// read at once.
func Identify(f io.ReaderAt) (pcapng.Section, error) {
	h, err := readHeader(&readAhead{f: f})
	if err != nil {
		return pcapng.Section{}, err
	}
	if !h.byTunrec() {
		return pcapng.Section{}, fmt.Errorf("%w: the application is %q", ErrForeign, h.section.Application)
	}
	return h.section, nil
}

// readAhead is a file whose first bytes are read only once.
type readAhead struct {
	f     io.ReaderAt
	first []byte // nil: not read yet
	err   error  // why there are no more; nil: there may be
}

func (r *readAhead) ReadAt(b []byte, at int64) (int, error) {
	if r.first == nil {
		buf := make([]byte, usualHeaderLen)
		n, err := r.f.ReadAt(buf, 0)
		r.first, r.err = buf[:n], err
	}
	end := at + int64(len(b))
	if end > int64(len(r.first)) && r.err == nil {
		return r.f.ReadAt(b, at)
	}
	n := copy(b, r.first[min(at, int64(len(r.first))):])
	if n < len(b) {
		return n, r.err
	}
	return n, nil
}

func (h *header) byTunrec() bool { return strings.HasPrefix(h.section.Application, application) }

const noWholeHeader = "the file ends inside its header, before any packet"

// errEmpty is the cause where a file has 0 bytes, which is a way of being cut short.
var errEmpty = fmt.Errorf("no bytes: %w", io.ErrUnexpectedEOF)

// readHeader reads the header of a file that a Writer wrote. A header that no
// Writer writes gives ErrForeign.
func readHeader(f io.ReaderAt) (header, error) {
	h := header{}
	var err error
	if h.form, err = readForm(f); errors.Is(err, io.EOF) {
		return h, tooShort(f)
	} else if err != nil {
		return h, err
	}
	if h.form == Plain {
		s := pcapng.NewScannerSize(io.NewSectionReader(f, 0, maxHeaderLen), usualHeaderLen)
		err := h.parse(s)
		h.end = nextOffset(s)
		err = headerError(err, s.Offset())
		if c, ok := errors.AsType[*CorruptError](err); ok && s.Offset() > 0 && !h.byTunrec() {
			// Others may put what is longer before the interface.
			return h, fmt.Errorf("%w: the application is %q, %v", ErrForeign, h.section.Application, c)
		}
		return h, err
	}

	var frame [zstdHeaderLen]byte
	if _, err := f.ReadAt(frame[:], 0); errors.Is(err, io.EOF) {
		return h, cutShort(0, noWholeHeader)
	} else if err != nil {
		return h, fmt.Errorf("read the first bytes: %w", err)
	}
	const window1MiB, window8MiB = 0x50, 0x68
	if h.window = frame[5]; frame[4] != zstdContentChecksum || h.window < window1MiB || h.window > window8MiB {
		return h, fmt.Errorf("%w: another kind of zstd frame", ErrForeign)
	}
	raw := &rawBlocks{f: f, at: zstdHeaderLen}
	s := pcapng.NewScannerSize(io.LimitReader(raw, maxHeaderLen), usualHeaderLen)
	err = h.parse(s)
	h.end = raw.at
	if err == nil && (raw.left > 0 || raw.total != nextOffset(s)) {
		err = fmt.Errorf("%w: a zstd block that begins with the header goes on behind it", ErrForeign)
	}
	return h, headerError(err, zstdHeaderLen+zstdblock.HeaderLen+s.Offset())
}

// tooShort is the error about a file that ends before its form is clear.
func tooShort(f io.ReaderAt) error {
	if n, _ := f.ReadAt(make([]byte, 1), 0); n == 0 {
		return &CorruptError{Reason: "nothing was ever written to it", Err: errEmpty}
	}
	return cutShort(0, noWholeHeader)
}

// nextOffset is where the block behind the scanner's current one begins.
func nextOffset(s *pcapng.Scanner) int64 {
	const framing = 12 // type, length, length again
	return s.Offset() + int64(len(s.Body())) + framing
}

// headerError turns an error of the scanner into one about the file.
func headerError(err error, at int64) error {
	var c *pcapng.CorruptError
	switch {
	case err == nil || errors.Is(err, ErrForeign):
		return err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return cutShort(at, noWholeHeader)
	case !errors.As(err, &c):
		return err
	case c.Err != nil:
		return fmt.Errorf("read the header: %w", c.Err)
	}
	return corrupt(at, "%s", c.Reason)
}

// parse reads the two blocks of the header.
func (h *header) parse(s *pcapng.Scanner) error {
	if err := s.Next(); err != nil {
		return err
	}
	if err := errors.Join(s.Describe(&h.section), s.Next()); err != nil {
		return err
	}
	if s.Type() != pcapng.BlockInterfaceDescription {
		return fmt.Errorf("%w: no interface is described behind the section header", ErrForeign)
	}
	i := s.Interfaces()[0]
	if i.LinkType != pcapng.LinkTypeRaw {
		return fmt.Errorf("%w: packets of link type %d, not of %d (raw IP)", ErrForeign, i.LinkType, pcapng.LinkTypeRaw)
	}
	if err := s.Describe(&h.section); err != nil {
		return err
	}
	resolution := byte(0)
	for options := s.Options(); options.Next(); {
		if options.Code == optIDBTsresol && len(options.Value) == 1 {
			resolution = options.Value[0]
		}
	}
	if resolution != tsresolNano {
		return fmt.Errorf("%w: time stamps are not in nanoseconds", ErrForeign)
	}
	return nil
}

// rawBlocks reads the content of the raw zstd blocks from a place in a file
// on, at most one block at a call.
type rawBlocks struct {
	f     io.ReaderAt
	at    int64
	left  int   // bytes of the block that have not been read
	total int64 // bytes that have been read
}

func (r *rawBlocks) Read(b []byte) (int, error) {
	if r.left == 0 {
		var h [zstdblock.HeaderLen]byte
		if _, err := r.f.ReadAt(h[:], r.at); err != nil {
			return 0, err
		}
		kind, size, last := zstdblock.Header(h[:])
		if kind != zstdblock.Raw || last || size > zstdblock.Max {
			return 0, fmt.Errorf("%w: the header is compressed, or not whole", ErrForeign)
		}
		r.at += zstdblock.HeaderLen
		r.left = size
	}
	n, err := r.f.ReadAt(b[:min(len(b), r.left)], r.at)
	r.at += int64(n)
	r.left -= n
	r.total += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}
