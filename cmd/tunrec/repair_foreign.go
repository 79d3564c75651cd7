package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/capfile"
)

// repairForeign repairs a pcapng file that another program has made, compressed
// or not, into a plain file or, where its name asks for it, a zstd frame.
func repairForeign(f io.ReaderAt, size int64, name string, out *newFile, o capfile.RepairOptions) (capfile.Repaired, error) {
	if plain := strings.TrimSuffix(name, ".zst"); !strings.HasSuffix(plain, ".pcapng") {
		return capfile.Repaired{}, usageError(fmt.Errorf("-o %s: has to be named .pcapng or .pcapng.zst", name), "")
	}
	stream, err := decompressed(io.NewSectionReader(f, 0, size))
	if err != nil {
		return capfile.Repaired{}, err
	}
	defer stream.close()
	if stream.compressed {
		o.Progress = nil // it counts bytes of the content
	}
	var encoder *zstd.Encoder
	done, err := capfile.RepairPcapng(stream, func() (io.Writer, error) {
		if err := out.create(name); err != nil || !strings.HasSuffix(name, ".zst") {
			return out, err
		}
		encoder, err = zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		return encoder, err
	}, o)
	if errors.Is(err, capfile.ErrForeign) {
		err = hinted(errors.New("only pcapng files are repaired, and this is none, or its first bytes are damaged"),
			"tunrec -r FILE -o OUT records what can be read of a pcap file")
	}
	if encoder != nil {
		err = errors.Join(err, encoder.Close())
	}
	if stream.err != nil {
		done.Whole, done.Unknown = false, true
		if o.Loss != nil {
			o.Loss(capfile.Loss{Offset: size, End: size, Reason: "it cannot be decompressed to its end: " + stream.err.Error()})
		}
	}
	return done, err
}

// stream is what a file holds. A compressed one that is damaged ends where it
// cannot be decompressed any more.
type stream struct {
	io.Reader
	compressed bool
	close      func()
	err        error // of decompressing
}

func decompressed(f io.ReadSeeker) (*stream, error) {
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	s := &stream{Reader: f, close: func() {}}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		s.compressed = true
		s.Reader, err = gzip.NewReader(f)
	case bytes.Equal(head, []byte("\x28\xb5\x2f\xfd")):
		s.compressed = true
		// 64 MiB is half of what the zstd command takes without --long.
		d, derr := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
		s.Reader, s.close, err = d, d.Close, derr
	}
	return s, err
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if s.compressed && err != nil && err != io.EOF {
		s.err, err = err, io.EOF
	}
	return n, err
}
