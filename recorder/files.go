package recorder

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/rotate"
)

// retryInterval is how long after a failure a series tries again.
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
	Packet  int            // bytes of the longest packet that limits have to hold for; 0: Config's limit

	// One file: File. A series: Series and its Policy.
	File       *rotate.File
	Series     *rotate.Series
	Policy     rotate.Policy
	EmptyFiles bool // a file for a time without packets, too
	// Unordered: time stamps may go back although no clock was set (a file as
	// the source). A packet is then never too early for a file.
	Unordered bool

	// Direct: long chunks go past the page cache, while the disk keeps up, see
	// rotate.File. It takes 2 MiB of memory.
	Direct bool

	Stop rotate.Stop // FileBytes and Files; the other limits are the reader's
	Sync SyncPolicy
	Hook Hook // nil: none

	// GiveUp is done when a series should no longer try to write what cannot
	// be written; nil: it never is.
	GiveUp context.Context
	// Event is told what happens (see event.go), from several goroutines; nil: nobody
	// is. It must not block: the writer waits for it.
	Event func(any)
}

// Hook is run on complete files: a rotate.Hook, or another process that runs one.
type Hook interface {
	Run(ctx context.Context, file string) rotate.HookResult
}

// FileSink is a Sink that writes a file or a series of them.
//
// It decides where files end (fit.go): by size, packet count and the packets' own
// time stamps, chunk by chunk, cutting chunks in two where that has to be. A file
// that has ended is handed to a closer beside the recording (close.go), and the
// next one has been opened ahead of time.
type FileSink struct {
	FilesConfig
	current *openFile
	empty   *capfile.Writer // what a new file begins as
	opened  int             // files so far
	written uint64          // packets so far
	room    uint64          // bytes that the current file may grow to without removing others
	unsafe  atomic.Bool     // the current file's last sync failed

	unsafeEnded atomic.Int32 // files that have ended and could not be synced yet; the closer's
	leftOne     bool         // a file could not be ended or synced, and is not tried again; the closer's

	direct   direct
	stage    *rotate.Stage       // for the chunk that is being written, or nil
	z        *capfile.Compressor // for chunks that are cut in two
	unplaced capfile.Entry       // counts that no file was open for

	bytes    counter // of files that have ended
	open     counter // of the current one
	inFlight counter // of files in closing
	now      atomic.Pointer[Current]

	closing chan *openFile // to the closer: one in its hands, one waiting; Close closes it
	ended   chan string    // to the hooks: names of complete files; the closer closes it
	ahead   chan struct{}  // to the preparer; Close closes it
	closed  chan struct{}  // the closer closes it when all files are
	failed  []error        // of files that could not be ended; read it when closed is

	*troubles
}

type counter = atomic.Uint64

// openFile is a file that is being written, or has ended and is to be closed.
type openFile struct {
	*capfile.Writer
	file        *rotate.File
	begin       time.Time
	span        span
	packets     uint64
	original    uint64 // bytes
	first, last int64  // earliest and latest time stamp
	counts      capfile.Entry

	reason Reason // why it ended
	end    capfile.End
	whole  bool  // its end is written
	unsafe bool  // its last sync failed
	harmed error // see FileHarmed
}

func (f *openFile) add(e *capfile.Entry) {
	f.counts.AddCounts(e)
	if e.Packets == 0 {
		return
	}
	if f.packets == 0 {
		f.first, f.last = e.Earliest, e.Latest
	}
	f.first, f.last = min(f.first, e.Earliest), max(f.last, e.Latest)
	f.packets += uint64(e.Packets)
	f.original += e.OriginalBytes
}

// NewFileSink returns a FileSink. For one file it writes the header and publishes
// it; on an error the file is still the caller's.
func NewFileSink(c FilesConfig) (*FileSink, error) {
	s := &FileSink{
		FilesConfig: c,
		z:           capfile.NewCompressor(c.Capture.WindowBytes),
		closing:     make(chan *openFile, 1),
		ended:       make(chan string, hookQueue),
		ahead:       make(chan struct{}, 1),
		closed:      make(chan struct{}),
	}
	if s.Event == nil {
		s.Event = func(any) {}
	}
	if s.GiveUp == nil {
		s.GiveUp = context.Background()
	}
	s.troubles = newTroubles(s.Event)
	s.now.Store(&noCurrent)
	if s.Direct {
		s.direct.stage = rotate.NewStage()
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
	switch {
	case s.File != nil:
		return s, s.use(s.File, time.Now())
	case s.EmptyFiles && !s.Unordered:
		return s, s.openNext(time.Now())
	}
	return s, s.Series.Prepare()
}

// nowhere is a capfile.File for finding out how long a file without chunks is.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Truncate(int64) error        { return nil }

// ErrTooSmall: a limit on the size of files leaves no room for a packet.
var ErrTooSmall = errors.New("too small")

func (s *FileSink) checkLimits() error {
	packet := s.Packet
	if packet == 0 {
		packet = maxPacket
	}
	chunk := capfile.EncodedCap(packet + pcapng.PacketOverhead)
	least := s.empty.SizeWith(nil) + uint64(capfile.EntryLen+chunk)
	for _, limit := range []uint64{s.Policy.FileBytes, s.Stop.FileBytes} {
		if limit > 0 && limit < least {
			return fmt.Errorf("files of %d bytes are %w: one with a packet of %d bytes may take %d; -s keeps less of each packet",
				limit, ErrTooSmall, packet, least)
		}
	}
	return nil
}

// Bytes implements Sink.
func (s *FileSink) Bytes() uint64 { return s.bytes.Load() + s.inFlight.Load() + s.open.Load() }

// Current implements Sink.
func (s *FileSink) Current() Current { return *s.now.Load() }

// tell lets the reader know of the current file.
func (s *FileSink) tell() {
	c := Current{Before: s.written, Begin: math.MinInt64, End: math.MaxInt64}
	if f := s.current; f != nil {
		c = Current{Before: s.written - f.packets, Begin: f.span.lo, End: f.span.hi}
	}
	s.now.Store(&c)
}

// use makes f the current file, which gets its name when it has its header.
func (s *FileSink) use(f *rotate.File, begin time.Time) error {
	w, err := capfile.NewWriter(f, s.Capture)
	if err != nil {
		return named(f.Name(), err)
	}
	if s.Sync == SyncFlush {
		// Else a crash of the machine may leave the name and not the header.
		if err := named(f.Name(), f.Sync()); err != nil {
			s.begin(DoingSync, err)
		}
	}
	if err := f.Publish(); err != nil {
		return err
	}
	s.current = &openFile{Writer: w, file: f, begin: begin, span: s.spanFrom(begin.UnixNano())}
	s.open.Store(w.Size())
	s.opened++
	s.tell()
	if s.Series == nil {
		s.Event(FileOpened{Name: f.Name(), Time: begin})
	}
	return nil
}

// openNext opens the next file of the series.
func (s *FileSink) openNext(begin time.Time) error {
	if s.Stop.Files > 0 && s.opened >= s.Stop.Files {
		return ErrEnough
	}
	f, err := s.Series.Next(begin)
	if err != nil {
		return err
	}
	if err := s.use(f, begin); err != nil {
		err = errors.Join(err, f.Discard())
		s.Series.Discarded(f) // behind it: else retention may find the file once more
		return err
	}
	select {
	case s.ahead <- struct{}{}:
	default:
	}
	return nil
}

// WriteChunk implements Sink.
func (s *FileSink) WriteChunk(c *capfile.Chunk, behind bool, wrote func(*capfile.Entry)) error {
	s.stage = s.direct.next(behind, time.Now())
	if c.Packets == 0 && (s.current == nil || s.Series == nil && s.tooLong(c) != 0) {
		s.unplaced.AddCounts(&c.Entry)
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
		todo = todo[:len(todo)-1]
		if n := s.Policy.Packets; n > 0 && s.current != nil && s.current.packets >= n {
			if err := s.endFile(ReasonPackets, part.Latest); err != nil {
				return err
			}
		}
		if len(todo) > 0 {
			// Only now: parts are compressed into the same memory.
			if err := s.ready(todo[len(todo)-1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// ready makes a part of a chunk ready for the file's form.
func (s *FileSink) ready(c *capfile.Chunk) error {
	if s.Capture.Form != capfile.Zstd {
		c.Hash()
		return nil
	}
	return s.z.Compress(c, s.Method, nil)
}

// Cut implements Sink.
func (s *FileSink) Cut(reason Reason, t time.Time) error {
	if s.Series == nil || s.current == nil {
		return nil
	}
	at := t.UnixNano()
	if reason != ReasonTime {
		return s.endFile(reason, at)
	}
	p := s.current.span
	if p.has(at) {
		return nil // a packet has ended the file before
	}
	if err := s.endFile(p.reason, min(at, p.hi)); err != nil || !s.EmptyFiles {
		return err
	}
	if err := s.openNext(time.Unix(0, min(at, p.hi))); err != nil && !errors.Is(err, ErrEnough) {
		s.begin(DoingWrite, err) // the next chunk tries again
	}
	return nil
}

// endFile ends the current file at time t.
func (s *FileSink) endFile(reason Reason, t int64) error {
	s.hand(reason, capfile.End{Start: s.current.begin.UnixNano(), Stop: t})
	if s.Stop.Files > 0 && s.opened >= s.Stop.Files {
		return ErrEnough
	}
	return nil
}

// hand gives the current file to the closer.
func (s *FileSink) hand(reason Reason, end capfile.End) {
	f := s.current
	s.current, s.room = nil, 0
	f.reason, f.end, f.unsafe = reason, end, s.unsafe.Swap(false)
	s.inFlight.Add(f.Size())
	s.open.Store(0)
	s.tell()
	s.closing <- f
}
