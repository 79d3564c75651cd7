package replay

import (
	"encoding/binary"
	"io"
)

// Content reads what a capture file holds, whatever that is, decompressed.
type Content struct {
	in *input
	at int64
}

// Decompress returns the content of stream, which is a file, not a live stream;
// name stands for it in errors. Close leaves it open.
//
// Where a compressed file is damaged or cut off, or needs more memory than any
// should, the error of this or of Read is a *DamageError; it names the place
// in the content up to which there is something.
func Decompress(stream io.Reader, name string) (*Content, error) {
	c := &Content{in: &input{name: name}}
	if err := c.in.decompress(stream); err != nil {
		c.in.close()
		return nil, c.in.named(err)
	}
	return c, nil
}

// Compression names what the stream is compressed with: "gzip", "zstd" or "" for
// nothing.
func (c *Content) Compression() string { return c.in.compression }

func (c *Content) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.at += int64(n)
	if err != nil && err != io.EOF && c.in.compression != "" {
		err = c.in.named(&DamageError{Offset: c.at, Reason: err.Error(), Err: err})
	}
	return n, err
}

// Resume goes on behind damage that Read has met, at the next zstd frame. What
// comes in between, of the damaged frame, is missing in the content. It returns
// false where there is no further frame.
func (c *Content) Resume() bool {
	in := c.in
	if in.decoder == nil {
		return false
	}
	for {
		head, err := in.compressed.Peek(4)
		if err != nil {
			return false
		}
		if binary.LittleEndian.Uint32(head) == zstdFrame {
			break
		}
		in.compressed.Discard(1) // was peeked: it is there
	}
	if in.decoder.Reset(in.compressed) != nil {
		return false
	}
	in.Reset(in.decoder)
	return true
}

// Close ends the reading.
func (c *Content) Close() error { return c.in.close() }
