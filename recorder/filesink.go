package recorder

import (
	"errors"
	"io"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/rotate"
)

// FileSink is a Sink that writes one file.
type FileSink struct {
	*capfile.Writer
	file *rotate.File
}

// NewFileSink writes the header of a capture file to f. On an error f is
// still the caller's.
func NewFileSink(f *rotate.File, c capfile.Config) (*FileSink, error) {
	w, err := capfile.NewWriter(f, c)
	if err != nil {
		return nil, err
	}
	return &FileSink{w, f}, nil
}

// Close ends the file with statistics and index, syncs and closes it.
func (s *FileSink) Close(end capfile.End) error {
	err := s.Writer.Close(end)
	return errors.Join(err, s.file.Sync(), s.file.Close())
}

// StreamSink is a Sink that writes plain pcapng to a pipe.
type StreamSink struct {
	*capfile.Writer
}

// NewStreamSink writes the section's header to w.
func NewStreamSink(w io.Writer, c capfile.Config) (StreamSink, error) {
	c.Form = capfile.Stream
	out, err := capfile.NewWriter(pipe{w}, c)
	return StreamSink{out}, err
}

// pipe is a capfile.File that cannot be cut back, and is never asked to.
type pipe struct{ io.Writer }

func (pipe) Truncate(int64) error { return errors.ErrUnsupported }
