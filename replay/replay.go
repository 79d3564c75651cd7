// Package replay reads IP packets out of capture files, in place of a device:
// pcap and pcapng, plain or compressed with gzip or zstd. What a file holds is
// told by its content, not by its name.
//
//	file ──decompress (open.go)──▶ records (pcap.go, pcapng.go) ──cut to IP (link.go)──▶ Next
//
// Frames that hold no IP packet are counted (skipped.go). A pipe may have
// nothing to say for long (live.go).
package replay

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// frame is one record of a capture file, with its link header.
type frame struct {
	linkType uint16
	data     []byte // valid until the next frame
	origLen  int    // not below len(data)
	unixNano int64
}

// source yields the frames of one file format. It returns io.EOF at a clean
// end, os.ErrDeadlineExceeded where a live stream has no whole frame yet, and
// otherwise a *DamageError without File and Compression.
type source interface {
	next(*frame) error
}

// DamageError says that a capture file is not readable from some place on.
// All packets before that place have been returned.
type DamageError struct {
	File        string
	Compression string // "gzip" or "zstd": Offset counts decompressed bytes; "" for a plain file
	Offset      int64  // where the damaged record or block begins
	Reason      string
	Err         error // the error of the reader, if any; io.ErrUnexpectedEOF in a file cut short
}

func (e *DamageError) Error() string {
	where := ""
	if e.Compression != "" {
		where = " of the content (decompressed from " + e.Compression + ")"
	}
	return fmt.Sprintf("%s is damaged at byte %d%s: %s", e.File, e.Offset, where, e.Reason)
}

func (e *DamageError) Unwrap() error { return e.Err }

// Reader yields the IP packets of a capture file, in the order of the file.
// Only Wake may be called from another goroutine.
type Reader struct {
	in      *input
	source  source
	frame   frame
	skipped Skipped
	err     error // sticks
}

// Offset returns how many bytes of the file have been read, compressed as they
// are; 0 where that is not known, as of a pipe.
func (r *Reader) Offset() int64 {
	if r.in.file == nil {
		return 0
	}
	n, err := r.in.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return n
}

// Memory is about how many bytes of memory the Reader takes, or may take for
// decompressing.
func (r *Reader) Memory() int {
	n := r.in.window + 2*inputBufferLen
	if s, ok := r.source.(*pcapngSource); ok {
		return n + s.scanner.Memory()
	}
	return n + pcapBufferLen
}

// Next copies the next IP packet into dst: its length n, the length that it had on the wire, and its time in nanoseconds
// since 1970 (0 where the file has none, in Simple Packet Blocks). A packet
// that is longer than dst is cut; 65,535 bytes hold all but jumbograms and
// super-packets.
//
// Both lengths are those of the IP packet, without link header. From Ethernet
// and Linux cooked frames what stands behind the IP packet (padding of short
// frames, a frame check sequence) is taken away as well, as far as the IP
// header's own length tells: a length of 0 (IPv6 jumbograms, segmentation
// offload) or shorter than the header leaves the frame as it is. Packets of
// other link types come whole, so a file made by tunrec is repeated exactly.
//
// A packet that keep rejects is thrown away, as tun.Ingest says: n == 0,
// origLen > 0. n == 0 == origLen without an error means that a live stream (a pipe, a FIFO, a socket or
// a terminal, compressed or not) holds no whole packet now: call Wait. A file
// always has its next packet. At the end Next returns io.EOF, at damage a
// *DamageError.
func (r *Reader) Next(dst []byte, keep func(packet []byte, origLen int) bool) (n, origLen int, unixNano int64, err error) {
	if len(dst) == 0 {
		return 0, 0, 0, io.ErrShortBuffer
	}
	for r.err == nil {
		if err := r.source.next(&r.frame); err != nil {
			if err == os.ErrDeadlineExceeded {
				return 0, 0, 0, nil
			}
			r.err = r.in.named(err)
			break
		}
		packet, origLen, why := cutToIP(&r.frame)
		if why.Kind == notSkipped {
			if keep != nil && !keep(packet, origLen) {
				dst = nil
			}
			return copy(dst, packet), origLen, r.frame.unixNano, nil
		}
		r.skipped[why]++
	}
	return 0, 0, 0, r.err
}

// Wait blocks until Next may have something, until the timeout has passed
// (negative: no timeout) or until Wake is called; it may return early without
// a reason. For a file it returns at once.
func (r *Reader) Wait(timeout time.Duration) error {
	if r.in.live == nil {
		return nil
	}
	return r.in.live.wait(timeout)
}

// Wake ends the present Wait or else the next one.
func (r *Reader) Wake() {
	if r.in.live != nil {
		r.in.live.Wake()
	}
}

// Drops returns 0 and true: a file loses nothing, and that is certain.
func (r *Reader) Drops() (uint64, bool, error) { return 0, true, nil }

// Skipped returns how many frames have not been returned by Next so far, and
// why. It is valid until Next.
func (r *Reader) Skipped() Skipped { return r.skipped }

// Close closes the file, if Open opened it, and ends the Reader: Next then
// returns an error that is fs.ErrClosed.
func (r *Reader) Close() error {
	if r.err == nil {
		r.err = fmt.Errorf("read %s: %w", r.in.name, fs.ErrClosed)
	}
	return r.in.close()
}
