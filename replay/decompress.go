package replay

import "io"

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

func (c *Content) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.at += int64(n)
	if err != nil && err != io.EOF && c.in.compression != "" {
		err = c.in.named(&DamageError{Offset: c.at, Reason: err.Error(), Err: err})
	}
	return n, err
}

// Close ends the reading.
func (c *Content) Close() error { return c.in.close() }
