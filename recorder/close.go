package recorder

import (
	"context"
	"errors"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/rotate"
)

// hookQueue is how many complete files may wait for their hook before the
// closer waits too.
const hookQueue = 10000

// Close implements Sink.
func (s *FileSink) Close(t time.Time, lost uint64, counts capfile.Entry) error {
	if f := s.current; f != nil {
		counts.AddCounts(&s.unplaced)
		s.hand(ReasonStop, capfile.End{Start: f.begin.UnixNano(), Stop: t.UnixNano(), Lost: lost, Counts: counts})
	}
	close(s.closing)
	close(s.ahead)
	<-s.closed
	return errors.Join(s.syncing, s.failed)
}

// Background implements Sink.
func (s *FileSink) Background() []func() {
	return []func(){s.closeFiles, s.prepareFiles, s.runHooks, s.runHooks}
}

// closeFiles ends files that the writer is through with, one by one.
func (s *FileSink) closeFiles() {
	defer close(s.closed)
	defer close(s.ended)
	var aging <-chan time.Time
	if s.Policy.Age > 0 {
		t := time.NewTicker(min(time.Minute, s.Policy.Age))
		defer t.Stop()
		aging = t.C
	}
	for {
		select {
		case f, ok := <-s.closing:
			if !ok {
				return
			}
			s.closeFile(f)
		case <-aging:
		}
		if s.Series != nil {
			if err := s.retain(s.open.Load()); err != nil && !errors.Is(err, rotate.ErrNothingLeft) {
				s.Event(Trouble{err})
			}
		}
	}
}

func (s *FileSink) closeFile(f *openFile) {
	name, before := f.file.Name(), f.Size()
	err := named(name, f.Close(f.end))
	if s.Sync != SyncNever {
		err = errors.Join(err, named(name, f.file.Sync()))
	}
	err = errors.Join(err, named(name, f.file.Close()))
	if s.failed == nil {
		s.failed = err
	}
	if s.Series != nil {
		s.Series.Closed(f.file, f.Size(), rotate.Info{First: f.first, Last: f.last, Packets: f.packets})
	}
	s.inFlight.Add(-before)
	s.bytes.Add(f.Size())
	s.Event(FileClosed{
		Name: name, Reason: f.reason, Packets: f.packets, OriginalBytes: f.original, Bytes: f.Size(),
		First: f.first, Last: f.last, Dropped: f.Totals(f.end).Dropped, Err: err,
	})
	if s.Hook != nil && err == nil {
		s.ended <- name // one that was cut short is not complete
	}
}

// prepareFiles opens the next file of a series ahead of its time.
func (s *FileSink) prepareFiles() {
	for range s.ahead {
		s.Series.Prepare() // where it fails, Next will say so
	}
}

// runHooks runs the hook for files that are complete.
func (s *FileSink) runHooks() {
	for name := range s.ended {
		s.Event(HookDone{name, s.Hook.Run(context.Background(), name)})
	}
}
