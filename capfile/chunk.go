package capfile

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// Method is how a chunk was compressed. The numbers are stored in files.
type Method uint32

const (
	Stored  Method = iota // raw zstd blocks; in the plain form all chunks
	Fastest               // the levels of github.com/klauspost/compress/zstd
	Default
	Better
	Best
	methods
)

var methodNames = [methods]string{"stored", "fastest", "default", "better", "best"}

func (m Method) String() string {
	if m < methods {
		return methodNames[m]
	}
	return fmt.Sprintf("method %d", uint32(m))
}

// ParseMethod returns the compressing method of that name.
func ParseMethod(name string) (Method, error) {
	if i := slices.Index(methodNames[Fastest:], name); i >= 0 {
		return Fastest + Method(i), nil
	}
	return 0, fmt.Errorf("unknown compression level %q: fastest, default, better, best", name)
}

// Chunk is a run of whole pcapng packet blocks on its way into a file.
//
// Its owner fills Content and the counts of Entry; Compressor.Compress adds the
// rest, and Writer.WriteChunk the offsets. The content may be empty: a chunk of
// no packets carries counts.
type Chunk struct {
	Entry
	Content []byte // pcapng blocks

	encoded []byte // MarkLen bytes of room, then zstd blocks; nil: plain
}

// Compressor turns chunks into zstdblock.Joinable zstd blocks, one after the other. It
// is not safe for concurrent use: every worker has its own. Encoders are made
// when first used.
type Compressor struct{ *zstdblock.Encoder }

// NewCompressor returns a Compressor for files with that window, see
// WindowBytes; 0: 1 MiB.
func NewCompressor(windowBytes int) *Compressor {
	if windowBytes == 0 {
		windowBytes = WindowBytes(0)
	}
	return &Compressor{zstdblock.NewEncoder(windowBytes)}
}

// WindowBytes returns the window of a frame whose chunks have contentLen bytes
// or about that: the next power of two, but from 1 MiB to 8 MiB. Every reader
// has to accept 8 MiB (RFC 8878 §3.1.1.1.2), and smaller ones gain nothing.
func WindowBytes(contentLen int) int {
	window := 1 << 20
	for window < contentLen && window < 8<<20 {
		window <<= 1
	}
	return window
}

// EncodedCap is the room that Compress may need for content of that length.
func EncodedCap(contentLen int) int { return MarkLen + zstdblock.EncodedCap(contentLen) }

// Hash notes the content's length and hash, all that a chunk of the plain and
// stream forms needs.
func (c *Chunk) Hash() {
	c.Method = Stored
	c.ContentLen = uint32(len(c.Content))
	c.Entry.Hash = xxhash.Sum64(c.Content)
	c.encoded = nil
}

// Compress compresses the chunk's content by method m into buf, which the
// chunk keeps until it has been written; nil: into the memory of its encoded
// form, by Compress or LoadChunk, which is lost. It grows where EncodedCap was not
// kept to.
func (z *Compressor) Compress(c *Chunk, m Method, buf []byte) error {
	if buf == nil {
		buf = slices.Grow(c.encoded[:0], MarkLen)
	}
	c.Hash()
	content := c.Content
	if m == Stored || len(content) == 0 {
		c.encoded = zstdblock.AppendRaw(zstdblock.AppendStored(buf[:MarkLen], content), nil, false)
		return nil
	}
	c.Method = m
	blocks, err := z.Encode(content, zstd.EncoderLevel(m), buf, MarkLen)
	if err != nil {
		return fmt.Errorf("compress a chunk of %d bytes: %w", len(content), err)
	}
	// The empty block is for zstd(1), which of a file that is cut where the last
	// block ends drops up to 128 KiB (seen with 1.5.4): it gives out all of a
	// block only on its way into the next one.
	c.encoded = zstdblock.AppendRaw(blocks, nil, false)
	return nil
}

// Split cuts the chunk after its first n packets, 0 < n < c.Packets, and
// returns the rest. Both have to be made ready again; they share the memory of
// the encoded form. The counts of what was lost before the chunk stay with its
// first part.
func (c *Chunk) Split(n uint32) (*Chunk, error) {
	first, rest := Chunk{encoded: c.encoded[:0]}, Chunk{encoded: c.encoded[:0]}
	first.Filtered, first.DroppedByQueue, first.Dropped = c.Filtered, c.DroppedByQueue, c.Dropped
	content, at := c.Content, 0
	for i := range c.Packets {
		p, total, ok := pcapng.ParsePacket(content[at:])
		if !ok {
			return nil, fmt.Errorf("split a chunk: no packet block at byte %d of %d", at, len(content))
		}
		part := &first
		if i >= n {
			part = &rest
		}
		part.Add(p.UnixNano, p.OrigLen)
		at += total
		if i == n-1 {
			first.Content, rest.Content = content[:at], content[at:]
		}
	}
	*c = first
	return &rest, nil
}

// Add counts a packet that was put into the chunk.
func (e *Entry) Add(unixNano int64, origLen int) {
	if e.Packets == 0 {
		e.Earliest, e.Latest = unixNano, unixNano
	} else {
		e.Earliest, e.Latest = min(e.Earliest, unixNano), max(e.Latest, unixNano)
	}
	e.Packets++
	e.OriginalBytes += uint64(origLen)
}

// AddCounts adds the counts of packets that were not recorded.
func (e *Entry) AddCounts(o *Entry) {
	e.Filtered = min(e.Filtered+o.Filtered, maxCounted)
	e.DroppedByQueue = min(e.DroppedByQueue+o.DroppedByQueue, maxCounted)
	e.Dropped = min(e.Dropped+o.Dropped, maxCounted)
}

// storedLen returns how many bytes of a file of that form the chunk takes.
func (c *Chunk) storedLen(f Form) int {
	if f == Zstd {
		return len(c.encoded)
	}
	return MarkLen + len(c.Content)
}
