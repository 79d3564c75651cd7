package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/rotate"
)

// Getting a chunk onto the disk, and what is done where that fails.

// persist writes c. A series tries again, in a new file, every retryInterval until it
// can be written, and a last time when GiveUp is done: meanwhile the recording goes on
// in memory.
func (s *FileSink) persist(c *capfile.Chunk) error {
	for last := false; ; {
		err := s.put(c)
		switch {
		case err == nil:
			s.over(DoingWrite)
			return nil
		case s.Series == nil || errors.Is(err, ErrEnough):
			return err
		}
		harmed := errors.Is(err, ErrHarmed) && s.current.packets > 0
		s.abandon()
		if harmed {
			continue // which is told, and no reason to wait
		}
		s.begin(DoingWrite, err)
		if last {
			return err
		}
		select {
		case <-s.GiveUp.Done():
			last = true
		case <-time.After(retryInterval):
		}
	}
}

// put writes c to the current file, or opens one for it.
func (s *FileSink) put(c *capfile.Chunk) error {
	if s.current == nil {
		if err := s.openNext(time.Unix(0, firstStamp(c))); err != nil {
			return err
		}
	}
	f := s.current
	if err := s.look(f); err != nil {
		return err
	}
	if err := s.makeRoom(f.SizeWith(c)); err != nil {
		return err
	}
	before := c.Entry
	c.AddCounts(&s.unplaced)
	f.file.Stage = s.stage
	err := f.WriteChunk(c)
	f.file.Stage = nil // what ends the file is written beside the next one
	if err != nil {
		c.Filtered, c.Dropped, c.DroppedByQueue = before.Filtered, before.Dropped, before.DroppedByQueue
		return named(f.file.Name(), err)
	}
	s.unplaced = capfile.Entry{}
	if s.Series != nil && f.packets == 0 && c.Packets > 0 {
		s.Event(FileOpened{Name: f.file.Name(), Time: f.begin})
	}
	f.add(&c.Entry)
	s.written += uint64(c.Packets)
	s.open.Store(f.Size())
	if s.Sync == SyncFlush || s.unsafe.Load() {
		return s.SyncNow()
	}
	return nil
}

// ErrHarmed: somebody else has removed or changed a file while it was written.
var ErrHarmed = errors.New("not by this recorder")

// look looks whether others have let the file be. Where they have not, nothing more is
// written to it.
func (s *FileSink) look(f *openFile) error {
	if f.harmed != nil {
		return f.harmed
	}
	if f.Torn() {
		return nil // its size is not known
	}
	change := f.file.Changed(int64(f.Size()))
	if change == nil {
		return nil
	}
	f.harmed = fmt.Errorf("%s was %w while it was written, %w", f.file.Name(), change, ErrHarmed)
	s.Event(FileHarmed{Name: f.file.Name(), Packets: f.packets, Err: f.harmed})
	return f.harmed
}

// SyncNow implements Sink. What cannot be synced has been written all the same: the
// file goes on, and is synced again with the next chunk or when it is closed.
func (s *FileSink) SyncNow() error {
	if s.current == nil {
		return nil
	}
	err := named(s.current.file.Name(), s.current.file.Sync())
	s.unsafe.Store(err != nil)
	if err != nil {
		s.begin(DoingSync, err)
	} else if s.unsafeEnded.Load() == 0 {
		s.over(DoingSync)
	}
	return nil
}

// named says in err which file it is about, by the name that the user knows.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*fs.PathError); ok {
		return &fs.PathError{Op: e.Op, Path: name, Err: e.Err}
	}
	return fmt.Errorf("write %s: %w", name, err)
}

// roomAhead is how much room makeRoom makes at once, so that the directory is
// not looked through for every chunk: how far minfree may be undershot.
const roomAhead = 4 << 20

// makeRoom removes old files so that the current one may grow to size.
func (s *FileSink) makeRoom(size uint64) error {
	p := s.Policy
	if p.TotalBytes == 0 && p.MinFree == 0 || size <= s.room {
		return nil
	}
	ahead := uint64(roomAhead)
	if p.TotalBytes > 0 {
		ahead = min(ahead, p.TotalBytes/64)
	}
	if s.retain(size+ahead) == nil {
		s.room = size + ahead
		return nil
	}
	err := s.retain(size) // just that much
	if err != nil && !errors.Is(err, rotate.ErrNothingLeft) {
		s.begin(DoingRetain, err) // that something is amiss with old files holds up no packet
		s.room = size + ahead
		return nil
	}
	return err
}

// retain removes old files for what the open ones hold or are about to.
func (s *FileSink) retain(open uint64) error {
	removed, err := s.Series.Retain(time.Now(), open+s.inFlight.Load(), false)
	for _, r := range removed {
		s.Event(FileRemoved{r})
	}
	if err != nil {
		return fmt.Errorf("remove old files: %w", err)
	}
	return nil
}

// abandon ends the current file after an error.
func (s *FileSink) abandon() {
	f := s.current
	if f == nil {
		return
	}
	if f.packets > 0 || f.harmed != nil {
		s.hand(ReasonError, capfile.End{Start: f.begin.UnixNano(), Stop: time.Now().UnixNano()})
		return
	}
	s.opened--
	s.unplaced.AddCounts(&f.counts)
	s.drop()
}

// drop removes the current file, which has no packets.
func (s *FileSink) drop() {
	f := s.current
	s.current, s.room = nil, 0
	s.open.Store(0)
	s.tell()
	f.file.Discard() // it has failed already, or is not wanted
	s.Series.Discarded(f.file)
}

// Discard undoes a sink of a series that has recorded nothing.
func (s *FileSink) Discard() error {
	if s.current != nil {
		s.drop()
	}
	return s.Series.Close()
}
