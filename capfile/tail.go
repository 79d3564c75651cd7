package capfile

import (
	"io"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// Tail reads the chunks of a file that grows, one after the other. It is for
// one goroutine.
type Tail struct {
	r  Reader
	at int64 // where the next chunk begins
	n  int   // chunks since the index block before

	failed uint32 // length of the chunk that Next failed to read; 0: not known
}

// NewTail returns a Tail at the first chunk of f, of which it reads the header
// alone. The errors are those of NewReader; that other programs have made a file
// may show at its first chunk only.
func NewTail(f io.ReaderAt) (*Tail, error) {
	t := &Tail{}
	if err := t.r.readHeader(f); err != nil {
		return nil, err
	}
	t.at = t.r.header.end
	return t, nil
}

// Section returns the description in the file's header.
func (t *Tail) Section() pcapng.Section { return t.r.info.Section }

// Next reads the next chunk of the file, which has size bytes by now, as
// LoadChunk does. An error that is io.ErrUnexpectedEOF means that there is no
// further chunk, or not all of it: ask again when the file has grown. Behind
// other errors Skip goes on.
func (t *Tail) Next(size int64, b *Buffer) (*Chunk, error) {
	t.r.info.Size, t.failed = size, 0
	e, err := t.r.readMark(t.at)
	if err != nil {
		return nil, t.r.named(err)
	}
	c, err := t.r.LoadChunk(e, b)
	if err != nil {
		t.failed = e.StoredLen
		return nil, err
	}
	t.advance(e.StoredLen)
	return c, nil
}

// Skip leaves out the chunk that Next has failed to read. It returns false
// where the chunk's mark is damaged, too: nobody knows where the next one
// begins.
func (t *Tail) Skip() bool {
	if t.failed == 0 {
		return false
	}
	t.advance(t.failed)
	t.failed = 0
	return true
}

// advance goes behind a chunk.
func (t *Tail) advance(storedLen uint32) {
	t.at += int64(storedLen)
	if t.n++; t.n == MaxIndexEntries {
		t.n = 0
		t.at += maxIndexBlockLen
		if t.r.info.Form == Zstd {
			t.at += zstdblock.HeaderLen
		}
	}
}
