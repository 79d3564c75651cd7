package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/rotate"
)

// retryInterval is how long a series waits after a failed write before it
// tries again, in a new file.
const retryInterval = time.Second

// SyncPolicy says when a file is synced to its disk.
type SyncPolicy int

const (
	SyncFile  SyncPolicy = iota // when it is complete
	SyncNever                   // by the system, some time
	SyncFlush                   // after every chunk, too
)

// FilesConfig tells a FileSink what to write where.
type FilesConfig struct {
	Capture capfile.Config // of each file
	Method  capfile.Method // of compressing chunks that have to be cut in two
	Slab    int            // as Config.SlabBytes
	Packet  int            // bytes of the longest packet that comes; 0: Config's limit

	// One file: File. A series: Series and its Policy; what is made before a
	// file has a packet is Series' affair.
	File       *rotate.File
	Series     *rotate.Series
	Policy     rotate.Policy
	EmptyFiles bool // Cut makes the next file at once

	Stop rotate.Stop // FileBytes and Files; the other limits are the reader's
	Sync SyncPolicy
	Hook *rotate.Hook // nil: none

	// Patience is done when a series should no longer try to write what
	// cannot be written.
	Patience context.Context
	// Event is told what happens, one at a time per goroutine: FileOpened,
	// FileClosed, FileRemoved, HookDone, Trouble, Recovered.
	Event func(any)
}

// FileSink is a Sink that writes a file or a series of them.
//
// Files end where the policy says: by size and packet count it is this sink
// that decides, chunk by chunk, cutting chunks in two where that has to be; by
// time it is the reader, through Cut. A file that has ended is handed to a
// closer beside the recording, and the next one has been opened by then.
type FileSink struct {
	FilesConfig
	current    *openFile
	empty      *capfile.Writer     // what a new file of the series begins as
	opened     int                 // files so far
	written    uint64              // packets so far
	room       uint64              // bytes that the current file may grow to
	troubled   bool                // the last write failed
	z          *capfile.Compressor // for chunks that are cut in two
	buf        []byte
	lostCounts capfile.Entry // counts of chunks without packets while no file is open

	bytes    counter // of files that have ended
	open     counter // of the current one
	inFlight counter // of files in closing
	before   counter // packets written before the current file
	start    atomic.Int64

	closing chan *openFile // to the closer: one in its hands, one waiting; Close closes it
	ended   chan string    // to the hooks: names of complete files; the closer closes it
	ahead   chan struct{}  // to the preparer; Close closes it
	closed  chan struct{}  // the closer closes it when all files are
	failed  error          // of closing files; read it when closed is
}

type counter = atomic.Uint64

// openFile is a file that is being written, or has ended and is to be closed.
type openFile struct {
	*capfile.Writer
	file        *rotate.File
	start       time.Time
	packets     uint64
	original    uint64 // bytes
	first, last int64  // earliest and latest time stamp

	failed bool   // a write did, and has been reported
	reason Reason // why it ended
	end    capfile.End
}

func (f *openFile) add(e *capfile.Entry) {
	if f.packets == 0 {
		f.first, f.last = e.Earliest, e.Latest
	} else {
		f.first, f.last = min(f.first, e.Earliest), max(f.last, e.Latest)
	}
	f.packets += uint64(e.Packets)
	f.original += e.OriginalBytes
}

// hookQueue is how many complete files may wait for their hook before the
// closer waits too.
const hookQueue = 10000

// NewFileSink returns a FileSink. For one file it writes the header; on an
// error the file is still the caller's.
func NewFileSink(c FilesConfig) (*FileSink, error) {
	s := &FileSink{
		FilesConfig: c,
		z:           capfile.NewCompressor(c.Capture.WindowBytes),
		closing:     make(chan *openFile, 1),
		ended:       make(chan string, hookQueue),
		ahead:       make(chan struct{}, 1),
		closed:      make(chan struct{}),
	}
	if s.Policy.FileBytes == 0 && s.Policy.TotalBytes > 0 {
		s.Policy.FileBytes = s.Policy.TotalBytes / 4
	}
	var err error
	if s.empty, err = capfile.NewWriter(nowhere{}, s.Capture); err != nil {
		return nil, err
	}
	if err := s.checkLimits(); err != nil {
		return nil, err
	}
	if s.File != nil {
		return s, s.begin(s.File, time.Now())
	}
	if s.EmptyFiles {
		return s, s.openNext(time.Now())
	}
	return s, s.Series.Prepare()
}

// checkLimits refuses a limit on the size of files that one packet does not
// fit in.
func (s *FileSink) checkLimits() error {
	packet := s.Packet
	if packet == 0 {
		packet = maxPacket
	}
	chunk := capfile.EncodedCap(packet + pcapng.PacketOverhead)
	least := s.empty.SizeWith(nil) + uint64(capfile.EntryLen+chunk)
	for _, limit := range []uint64{s.Policy.FileBytes, s.Stop.FileBytes} {
		if limit > 0 && limit < least {
			return fmt.Errorf("files of %d bytes: a file with one packet of %d bytes may take %d; -s keeps less of each packet", limit, packet, least)
		}
	}
	return nil
}

// nowhere is a capfile.File for finding out how long a file without chunks is.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Truncate(int64) error        { return nil }

// Bytes implements Sink.
func (s *FileSink) Bytes() uint64 { return s.bytes.Load() + s.inFlight.Load() + s.open.Load() }

// Current implements Sink.
func (s *FileSink) Current() (before uint64, start int64) { return s.before.Load(), s.start.Load() }

// begin makes f the current file.
func (s *FileSink) begin(f *rotate.File, start time.Time) error {
	w, err := capfile.NewWriter(f, s.Capture)
	if err != nil {
		return named(f.Name(), err)
	}
	s.current = &openFile{Writer: w, file: f, start: start}
	s.open.Store(w.Size())
	s.opened++
	s.Event(FileOpened{Name: f.Name(), Time: start})
	return nil
}

// openNext opens the next file of the series.
func (s *FileSink) openNext(start time.Time) error {
	f, err := s.Series.Next(start)
	if err != nil {
		return fmt.Errorf("open the next file: %w", err)
	}
	if err := s.begin(f, start); err != nil {
		s.Series.Discarded(f)
		return errors.Join(err, f.Discard())
	}
	select {
	case s.ahead <- struct{}{}:
	default:
	}
	return nil
}

// WriteChunk implements Sink.
func (s *FileSink) WriteChunk(c *capfile.Chunk, wrote func(*capfile.Entry)) error {
	if c.Packets == 0 && s.current == nil {
		s.lostCounts.AddCounts(&c.Entry)
		return nil
	}
	todo := []*capfile.Chunk{c} // parts of c, the next one last
	for len(todo) > 0 {
		part := todo[len(todo)-1]
		take, err := s.fit(part)
		if err != nil {
			return err
		}
		if take < part.Packets {
			rest, err := part.Split(take)
			if err == nil {
				err = s.ready(part)
			}
			if err != nil {
				return err
			}
			todo = append(todo[:len(todo)-1], rest, part)
			continue // its size is known only now
		}
		if err := s.persist(part); err != nil {
			return err
		}
		wrote(&part.Entry)
		s.written += uint64(part.Packets)
		todo = todo[:len(todo)-1]
		if len(todo) > 0 {
			if err := s.ready(todo[len(todo)-1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// fit makes room for c: it ends the current file where c has no place in it,
// and returns how many packets of c to try.
func (s *FileSink) fit(c *capfile.Chunk) (uint32, error) {
	take := c.Packets
	for s.tooLong(c, s.Stop.FileBytes) || s.tooLong(c, s.Policy.FileBytes) {
		switch {
		case s.current == nil || s.current.packets == 0:
			return max(1, take/2), nil // of one packet checkLimits knows that it fits
		case s.tooLong(c, s.Stop.FileBytes):
			return 0, ErrEnough
		}
		if err := s.endFile(ReasonFilesize, c.Earliest); err != nil {
			return 0, err
		}
	}
	if n := s.Policy.Packets; n > 0 {
		if s.current != nil && s.current.packets == n {
			if err := s.endFile(ReasonPackets, c.Earliest); err != nil {
				return 0, err
			}
		}
		if s.current != nil {
			n -= s.current.packets
		}
		take = uint32(min(uint64(take), n))
	}
	return take, nil
}

// tooLong tells whether c would make its file longer than limit; 0: none.
func (s *FileSink) tooLong(c *capfile.Chunk, limit uint64) bool {
	w := s.empty
	if s.current != nil {
		w = s.current.Writer
	}
	return limit > 0 && w.SizeWith(c) > limit
}

// ready makes a part of a chunk ready for the file's form.
func (s *FileSink) ready(c *capfile.Chunk) error {
	if s.Capture.Form != capfile.Zstd {
		c.Hash()
		return nil
	}
	if s.buf == nil {
		s.buf = make([]byte, 0, capfile.EncodedCap(slabCap(s.Slab)))
	}
	return s.z.Compress(c, s.Method, s.buf)
}

// persist writes c. A series tries again, in a new file, until it can be
// written or Patience is done: meanwhile the recording goes on in memory.
func (s *FileSink) persist(c *capfile.Chunk) error {
	for {
		err := s.put(c)
		if err == nil {
			if s.troubled {
				s.troubled = false
				s.Event(Recovered{})
			}
			return nil
		}
		if s.Series == nil {
			return err
		}
		s.abandon()
		s.troubled = true
		s.Event(Trouble{err})
		select {
		case <-s.Patience.Done():
			return err
		case <-time.After(retryInterval):
		}
	}
}

// put writes c to the current file, or opens one for it.
func (s *FileSink) put(c *capfile.Chunk) error {
	if s.current == nil {
		if err := s.openNext(time.Unix(0, c.Earliest)); err != nil {
			return err
		}
	}
	f := s.current
	if err := s.makeRoom(f.SizeWith(c)); err != nil {
		return err
	}
	c.AddCounts(&s.lostCounts)
	s.lostCounts = capfile.Entry{}
	if err := f.WriteChunk(c); err != nil {
		f.failed = true
		return named(f.file.Name(), err)
	}
	if f.packets == 0 {
		s.start.Store(c.Earliest)
	}
	f.add(&c.Entry)
	s.open.Store(f.Size())
	if s.Sync == SyncFlush {
		return s.SyncNow()
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
	return s.retain(size) // just that much
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
	if f.packets > 0 {
		s.hand(ReasonError, capfile.End{Start: f.start.UnixNano(), Stop: time.Now().UnixNano()})
		return
	}
	s.current = nil
	s.room = 0
	s.opened--
	s.open.Store(0)
	s.Series.Discarded(f.file)
	f.file.Discard() // its error is that of the write before
}

// Cut implements Sink.
func (s *FileSink) Cut(reason Reason, t time.Time) error {
	if s.Series == nil {
		return nil
	}
	f := s.current
	switch {
	case f == nil && s.EmptyFiles:
		return s.openNext(t)
	case f == nil:
		return nil
	case reason == ReasonDuration && t.Sub(time.Unix(0, s.start.Load())) < s.Policy.Duration:
		return nil // this file began later than the reader knew
	}
	if err := s.endFile(reason, t.UnixNano()); err != nil || !s.EmptyFiles {
		return err
	}
	if err := s.openNext(t); err != nil {
		s.Event(Trouble{err}) // the next chunk tries again
	}
	return nil
}

// endFile ends the current file at time t.
func (s *FileSink) endFile(reason Reason, t int64) error {
	s.hand(reason, capfile.End{Start: s.current.start.UnixNano(), Stop: t})
	if s.opened == s.Stop.Files {
		return ErrEnough
	}
	return nil
}

// hand gives the current file to the closer.
func (s *FileSink) hand(reason Reason, end capfile.End) {
	f := s.current
	s.current = nil
	f.reason, f.end = reason, end
	s.inFlight.Add(f.Size())
	s.open.Store(0)
	s.room = 0
	s.before.Store(s.written)
	s.start.Store(0)
	s.closing <- f
}

// SyncNow implements Sink.
func (s *FileSink) SyncNow() error {
	if s.current == nil {
		return nil
	}
	return named(s.current.file.Name(), s.current.file.Sync())
}

// Close implements Sink.
func (s *FileSink) Close(t time.Time, lost uint64) error {
	if f := s.current; f != nil {
		s.hand(ReasonStop, capfile.End{Start: f.start.UnixNano(), Stop: t.UnixNano(), Lost: lost})
	}
	close(s.closing)
	close(s.ahead)
	<-s.closed
	return s.failed
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
	if f.failed {
		err = nil // Close has returned the error of the write
	}
	if s.Sync != SyncNever {
		err = errors.Join(err, named(name, f.file.Sync()))
	}
	err = errors.Join(err, named(name, f.file.Close()))
	s.failed = errors.Join(s.failed, err)
	if s.Series != nil {
		s.Series.Closed(f.file, f.Size(), rotate.Info{First: f.first, Last: f.last, Packets: f.packets})
	}
	s.inFlight.Add(-before)
	s.bytes.Add(f.Size())
	s.Event(FileClosed{
		Name: name, Reason: f.reason, Packets: f.packets, OriginalBytes: f.original, Bytes: f.Size(),
		First: f.first, Last: f.last, Dropped: f.Totals(f.end).Dropped, Err: err,
	})
	if s.Hook != nil {
		s.ended <- name
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

// Events of a FileSink.
type (
	// FileOpened: a file has been made.
	FileOpened struct {
		Name string
		Time time.Time
	}
	// FileClosed: a file is complete, or has been given up after an error.
	FileClosed struct {
		Name          string
		Reason        Reason
		Packets       uint64
		OriginalBytes uint64 // their lengths on the wire
		Bytes         uint64 // on disk
		First, Last   int64  // time stamps, ns since 1970-01-01 00:00 UTC; 0 without packets
		Dropped       uint64 // packets lost, wherever it was, while this file was the current one
		Err           error
	}
	// FileRemoved: retention removed a file.
	FileRemoved struct{ rotate.Removed }
	// HookDone: the hook has run.
	HookDone struct {
		Name string
		rotate.HookResult
	}
	// Trouble: a file cannot be written; a series tries again.
	Trouble struct{ Err error }
	// Recovered: it can be again.
	Recovered struct{}
)
