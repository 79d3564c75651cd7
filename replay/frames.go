package replay

import (
	"io"
	"iter"
)

// Frame is one record of a capture file as it stands there.
type Frame struct {
	LinkType uint16 // LINKTYPE_ number
	Data     []byte // link header included; valid until the next frame
	OrigLen  int    // length on the wire in bytes, not below len(Data)
	UnixNano int64  // ns since 1970-01-01 00:00 UTC; 0 where the file has none
}

// Frames goes through the rest of the file, frame by frame, whatever their link
// type. Unlike Next it cuts nothing off and skips nothing. An error, which is a
// *DamageError or one of reading, is the last thing that comes. It is for files,
// not for live streams, and Next cannot go on after it.
func (r *Reader) Frames() iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		for r.err == nil {
			if err := r.source.next(&r.frame); err != nil {
				r.err = r.in.named(err)
				break
			}
			f := &r.frame
			if !yield(Frame{f.linkType, f.data, f.origLen, f.unixNano}, nil) {
				return
			}
		}
		if r.err != io.EOF {
			yield(Frame{}, r.err)
		}
	}
}

// Format names the file's format: "pcap" or "pcapng", and what it is
// compressed with: "gzip", "zstd" or "" for nothing.
func (r *Reader) Format() (format, compression string) {
	if _, ok := r.source.(*pcapngSource); ok {
		return "pcapng", r.in.compression
	}
	return "pcap", r.in.compression
}
