package capfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tunrec/tunrec/pcapng"
)

// ErrForeign: the file may be a good capture, but has neither the marks nor
// the index by which a Reader finds its way. It was made by another program,
// recompressed, or is a saved stream.
var ErrForeign = errors.New("not a tunrec capture file")

// CorruptError says that a capture file is cut short or damaged, and where.
type CorruptError struct {
	File   string // name of the file, where it has one
	Offset int64  // where in the file begins what cannot be read, in bytes
	Reason string
	Err    error // io.ErrUnexpectedEOF: the file ends too early; else the cause, which may be nil
}

func (e *CorruptError) Error() string {
	what := fmt.Sprintf("damaged at byte %d", e.Offset)
	switch {
	case e.Err == errEmpty:
		what = "empty"
	case errors.Is(e.Err, io.ErrUnexpectedEOF):
		what = fmt.Sprintf("cut short at byte %d", e.Offset)
	}
	text := what + ": " + e.Reason
	if e.File == "" {
		return text
	}
	return e.File + " is " + text
}

func (e *CorruptError) Unwrap() error { return e.Err }

func corrupt(at int64, format string, args ...any) *CorruptError {
	err := fmt.Errorf(format, args...)
	return &CorruptError{Offset: at, Reason: err.Error(), Err: errors.Unwrap(err)}
}

func cutShort(at int64, reason string) *CorruptError {
	return &CorruptError{Offset: at, Reason: reason, Err: io.ErrUnexpectedEOF}
}

// Info is what a capture file says of itself.
type Info struct {
	Form    Form
	Section pcapng.Section
	Size    int64 // of the file, in bytes

	// From the entries of all chunks.
	Chunks        uint64
	Packets       uint64
	OriginalBytes uint64 // lengths of the packets on the wire, added up
	ContentBytes  uint64 // lengths of the chunks before compression, added up
	Dropped       uint64 // packets that were lost, by the system's queue or the recorder
	First, Last   int64  // earliest and latest time stamp; both 0 where there are no packets

	// Statistics are those at the end of a complete file. Of others they are
	// added up from the chunks, and Start and End are 0.
	Statistics pcapng.Statistics
	// Unplaced is what the statistics count and no chunk does: the counts of
	// chunks that could not be written.
	Unplaced Entry

	// Damage is nil in a complete file. Else it says why it has no index, or
	// no good one; its Err is io.ErrUnexpectedEOF where the file is as a
	// recorder leaves it that was killed, or has not ended yet.
	Damage *CorruptError
}

// Reader reads a capture file by its index or, where that is missing or
// damaged, by its marks. It believes nothing that a file says before it has
// checked it, and takes 24 bytes of memory for every 1,024 chunks of the file.
// Its methods may be called from several goroutines.
type Reader struct {
	f      io.ReaderAt
	closer io.Closer
	name   string
	header header
	info   Info

	totals pcapng.Statistics // of all chunks
	groups []group
	walked bool // groups were found by their marks, not by an index
}

// Open opens the capture file at path. What it knows then, see Info, comes
// from the header and the index alone; a file without an index costs a small
// read for every chunk. Nothing is decompressed.
//
// The error is that of opening or reading the file, ErrForeign, or a
// *CorruptError where not even the header is whole. A file that is cut short
// or damaged behind its header is no error: it can be read up to there, and
// Info().Damage says so.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := NewReader(f, stat.Size())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.closer = f
	return r, nil
}

// NewReader is Open for the first size bytes of f. Errors name the file where
// f has a method Name, as *os.File has. Close leaves f open.
func NewReader(f io.ReaderAt, size int64) (*Reader, error) {
	r := &Reader{info: Info{Size: size}}
	if err := r.readHeader(f); err != nil {
		return nil, err
	}
	if err := r.findChunks(); err != nil {
		return nil, r.named(err)
	}
	return r, nil
}

// readHeader begins to read f.
func (r *Reader) readHeader(f io.ReaderAt) (err error) {
	r.f = f
	if n, ok := f.(interface{ Name() string }); ok {
		r.name = n.Name()
	}
	if r.header, err = readHeader(f); err != nil {
		return r.named(err)
	}
	r.info.Form, r.info.Section = r.header.form, r.header.section
	return nil
}

// unplaced returns what the statistics of a file count, and its chunks' totals
// do not.
func unplaced(s, chunks pcapng.Statistics) (rest Entry) {
	less := func(a, b uint64) uint64 { return a - min(a, b) }
	byQueue := less(s.OSDropped, chunks.OSDropped)
	rest.AddCounts(&Entry{
		Filtered:       less(s.Filtered(), chunks.Filtered()),
		DroppedByQueue: byQueue,
		Dropped:        less(less(s.Dropped, chunks.Dropped), byQueue),
	})
	return rest
}

// Info returns what the file says of itself.
func (r *Reader) Info() Info { return r.info }

// Reopen opens the file again by its name, after Close, too, without looking at
// what is in it: the Reader that it returns knows what r knows, and has to be
// closed.
func (r *Reader) Reopen() (*Reader, error) {
	f, err := os.Open(r.name)
	if err != nil {
		return nil, err
	}
	again := *r
	again.f, again.closer = f, f
	return &again, nil
}

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// named adds to an error which file it is about.
func (r *Reader) named(err error) error {
	if c, ok := errors.AsType[*CorruptError](err); ok {
		c.File = r.name
		return c
	}
	if r.name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", r.name, err)
}
