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

// maxUnended is how many files may wait, open, to be ended and synced when that fails.
// One more, and the oldest is left as it is.
const maxUnended = 64

// Close implements Sink.
func (s *FileSink) Close(t time.Time, lost uint64, counts capfile.Entry) error {
	counts.AddCounts(&s.unplaced)
	if s.Series != nil && s.current != nil && s.look(s.current) != nil {
		s.abandon() // what was lost gets another file
	}
	if dropped := lost + counts.Dropped + counts.DroppedByQueue; s.current == nil && dropped > 0 {
		s.openForLosses(t, dropped)
	}
	if f := s.current; f != nil {
		s.hand(ReasonStop, capfile.End{Start: f.begin.UnixNano(), Stop: t.UnixNano(), Lost: lost, Counts: counts})
	}
	close(s.closing)
	close(s.ahead)
	<-s.closed
	return errors.Join(s.failed...)
}

// openForLosses opens a file without packets whose statistics have what was lost since
// the last file ended.
func (s *FileSink) openForLosses(t time.Time, dropped uint64) {
	if err := s.openNext(t); err != nil {
		s.Event(Unplaced{dropped})
		return
	}
	s.Event(FileOpened{Name: s.current.file.Name(), Time: t})
}

// Background implements Sink.
func (s *FileSink) Background() []func() {
	return []func(){s.closeFiles, s.prepareFiles, s.runHooks, s.runHooks}
}

// closeFiles ends files that the writer is through with, one by one. Those that cannot
// be ended or synced stay open and are tried again, a last time at the end.
func (s *FileSink) closeFiles() {
	defer close(s.closed)
	defer close(s.ended)
	var aging <-chan time.Time
	if s.Policy.Age > 0 {
		t := time.NewTicker(min(time.Minute, s.Policy.Age))
		defer t.Stop()
		aging = t.C
	}
	var unended []*openFile
	for {
		var again <-chan time.Time
		if len(unended) > 0 {
			again = time.After(retryInterval)
		}
		select {
		case f, ok := <-s.closing:
			if !ok {
				for _, f := range unended {
					s.leave(f, s.endFileOnDisk(f))
				}
				return
			}
			unended = append(unended, f)
		case <-again:
		case <-aging:
		}
		unended = s.endFiles(unended)
		if s.Series == nil {
			continue
		}
		if err := s.retain(s.open.Load()); err != nil && !errors.Is(err, rotate.ErrNothingLeft) {
			s.begin(DoingRetain, err)
		} else {
			s.over(DoingRetain)
		}
	}
}

// endFiles ends files, and returns those that are to be tried again.
func (s *FileSink) endFiles(files []*openFile) (unended []*openFile) {
	for _, f := range files {
		err := s.endFileOnDisk(f)
		if err != nil && !errors.Is(err, ErrHarmed) && s.Series != nil {
			unended = append(unended, f)
		} else {
			s.leave(f, err)
		}
	}
	if len(unended) > maxUnended {
		s.leave(unended[0], s.endFileOnDisk(unended[0]))
		unended = unended[1:]
	}
	unsafe := 0
	for _, f := range unended {
		if f.unsafe {
			unsafe++
		}
	}
	s.unsafeEnded.Store(int32(unsafe))
	if len(unended) == 0 && !s.leftOne {
		s.over(DoingEnd)
		if !s.unsafe.Load() {
			s.over(DoingSync)
		}
	}
	return unended
}

// endFileOnDisk writes what ends a file, and syncs it. After an error it goes on there
// when it is called again.
func (s *FileSink) endFileOnDisk(f *openFile) error {
	if !f.whole {
		if err := s.look(f); err != nil {
			return err
		}
		before := f.Size()
		err := f.Close(f.end)
		s.inFlight.Add(f.Size() - before)
		if err = named(f.file.Name(), err); err != nil {
			if s.Series != nil { // one file is not tried again
				s.begin(DoingEnd, err)
			}
			return err
		}
		f.whole = true
	}
	if s.Sync == SyncNever && !f.unsafe {
		return nil
	}
	err := named(f.file.Name(), f.file.Sync())
	f.unsafe = err != nil
	switch {
	case s.Series == nil:
	case f.unsafe:
		s.begin(DoingSync, err)
		s.Series.Unsafe(f.file)
	default:
		s.Series.Safe(f.file)
	}
	return err
}

// leave closes a file, which is complete or, after err, stays as it is.
func (s *FileSink) leave(f *openFile, err error) {
	name := f.file.Name()
	err = errors.Join(err, named(name, f.file.Close()))
	if err != nil {
		s.failed = append(s.failed, err)
		s.leftOne = true
	}
	if lost := f.end.Lost + f.end.Counts.Dropped + f.end.Counts.DroppedByQueue; !f.whole && lost > 0 {
		s.Event(Unplaced{lost})
	}
	if s.Series != nil {
		s.Series.Closed(f.file, f.Size(), rotate.Info{First: f.first, Last: f.last, Packets: f.packets})
	}
	s.inFlight.Add(-f.Size())
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
