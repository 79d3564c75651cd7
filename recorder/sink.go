package recorder

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/internal/wake"
)

// Sink takes sealed chunks, in order, from one goroutine.
type Sink interface {
	// WriteChunk writes a chunk that is ready for the sink's form, in one piece
	// or several, and tells wrote of each. It may block, may change the chunk,
	// and must not keep it. Where others wait behind it, behind is set: the way
	// that takes the least time is the best then. After an error the recorder
	// writes no more and calls Close; ErrEnough ends the recording well.
	WriteChunk(c *capfile.Chunk, behind bool, wrote func(*capfile.Entry)) error
	// Cut says that a file ends here, and why; t is when. A sink of one file
	// ignores it, and so does a series with ReasonTime whose file may go on
	// at t. Errors are as those of WriteChunk.
	Cut(reason Reason, t time.Time) error
	// SyncNow makes what was written last, over a crash of the machine.
	SyncNow() error
	// Close ends the recording. It is called once, after the last chunk; t is
	// when the reader ended, lost how many packets could not be written, and
	// counts what their chunks counted of others.
	Close(t time.Time, lost uint64, counts capfile.Entry) error
	// Current tells of the current file. It may be called from any goroutine.
	Current() Current
	// Bytes is how many bytes have been written in all. It may be called from
	// any goroutine.
	Bytes() uint64
	// Background is what has to run beside the recording, each in a goroutine
	// of its own. Each ends after Close.
	Background() []func()
}

// Current tells what the reader wants to know of the current file. Times are
// nanoseconds since 1970-01-01 00:00 UTC.
type Current struct {
	Before uint64 // packets written before it
	Begin  int64  // time stamps that belong to it: from here,
	End    int64  // to before here; math.MaxInt64: no time ends it
}

var noCurrent = Current{Begin: math.MinInt64, End: math.MaxInt64}

// ErrEnough: the sink holds all that it was asked to take.
var ErrEnough = errors.New("limit reached")

// ErrReaderGone is an ErrEnough: nobody reads the stream any more.
var ErrReaderGone = fmt.Errorf("its reader has gone: %w", ErrEnough)

// Reason is why a file ended.
type Reason string

const (
	ReasonStop     Reason = "stop" // of the recording
	ReasonSignal   Reason = "signal"
	ReasonTime     Reason = "time" // to Sink.Cut: duration or interval, as it may be
	ReasonDuration Reason = "duration"
	ReasonInterval Reason = "interval"
	ReasonFilesize Reason = "filesize"
	ReasonPackets  Reason = "packets"
	ReasonError    Reason = "error"
)

// StreamSink writes plain pcapng to a pipe.
type StreamSink struct {
	w     *capfile.Writer
	start time.Time
	bytes counter

	reader *wake.Reader // nil: w has none who can go
	gone   func()       // called when the reader has gone
}

// NewStreamSink writes the section's header to w. Where that is a pipe or a socket,
// gone is called from another goroutine once nobody reads it any more.
func NewStreamSink(w io.Writer, c capfile.Config, gone func()) (*StreamSink, error) {
	s := &StreamSink{start: time.Now(), gone: gone}
	if f, ok := w.(*os.File); ok {
		var err error
		if s.reader, err = wake.WatchReader(f); err != nil {
			return nil, err
		}
	}
	c.Form = capfile.Stream
	out, err := capfile.NewWriter(pipe{w}, c)
	if err != nil {
		if s.reader != nil {
			s.reader.Close()
		}
		return nil, fmt.Errorf("begin the stream: %w", err)
	}
	s.w = out
	s.bytes.Store(out.Size())
	return s, nil
}

// WriteChunk implements Sink.
func (s *StreamSink) WriteChunk(c *capfile.Chunk, _ bool, wrote func(*capfile.Entry)) error {
	err := s.w.WriteChunk(c)
	s.bytes.Store(s.w.Size())
	if errors.Is(err, syscall.EPIPE) {
		return ErrReaderGone // it has seen what it wanted
	}
	if err != nil {
		return err
	}
	wrote(&c.Entry)
	return nil
}

// Close implements Sink.
func (s *StreamSink) Close(t time.Time, lost uint64, counts capfile.Entry) error {
	if s.reader != nil {
		s.reader.Wake() // the watcher ends, and closes it
	}
	err := s.w.Close(capfile.End{Start: s.start.UnixNano(), Stop: t.UnixNano(), Lost: lost, Counts: counts})
	s.bytes.Store(s.w.Size())
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// Cut implements Sink.
func (s *StreamSink) Cut(Reason, time.Time) error { return nil }

// SyncNow implements Sink.
func (s *StreamSink) SyncNow() error { return nil }

// Current implements Sink.
func (s *StreamSink) Current() Current { return noCurrent }

// Bytes implements Sink.
func (s *StreamSink) Bytes() uint64 { return s.bytes.Load() }

// Background implements Sink.
func (s *StreamSink) Background() []func() {
	if s.reader == nil {
		return nil
	}
	return []func(){func() {
		if s.reader.Gone() && s.gone != nil {
			s.gone()
		}
		s.reader.Close()
	}}
}

// pipe is a capfile.File that cannot be cut back, and is never asked to.
type pipe struct{ io.Writer }

func (pipe) Truncate(int64) error { return errors.ErrUnsupported }
