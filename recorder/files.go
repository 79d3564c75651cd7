package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync/atomic"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/rotate"
)

// A series waits after a failed write before it tries again, in a new file:
// first retryInterval, then longer, up to maxRetryInterval.
const (
	retryInterval    = time.Second
	maxRetryInterval = 10 * time.Second
)

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
	Packet  int            // bytes of the longest packet that limits have to hold for; 0: Config's limit

	// One file: File. A series: Series and its Policy.
	File       *rotate.File
	Series     *rotate.Series
	Policy     rotate.Policy
	EmptyFiles bool // a file for a time without packets, too
	// Unordered: time stamps may go back although no clock was set (a file as
	// the source). A packet is then never too early for a file.
	Unordered bool

	Stop rotate.Stop // FileBytes and Files; the other limits are the reader's
	Sync SyncPolicy
	Hook *rotate.Hook // nil: none

	// GiveUp is done when a series should no longer try to write what cannot
	// be written.
	GiveUp context.Context
	// Event is told what happens (see event.go), from several goroutines. It
	// should not block: the writer waits for it.
	Event func(any)
}

// FileSink is a Sink that writes a file or a series of them.
//
// It decides where files end: by size, packet count and the packets' own time
// stamps, chunk by chunk, cutting chunks in two where that has to be. A file
// that has ended is handed to a closer beside the recording (close.go), and the
// next one has been opened ahead of time.
type FileSink struct {
	FilesConfig
	current  *openFile
	empty    *capfile.Writer     // what a new file begins as
	opened   int                 // files so far
	written  uint64              // packets so far
	room     uint64              // bytes that the current file may grow to without removing others
	trouble  string              // the error of the last write; "": it went well
	syncing  error               // first failure of a sync
	z        *capfile.Compressor // for chunks that are cut in two
	buf      []byte
	unplaced capfile.Entry // counts that no file was open for

	bytes    counter // of files that have ended
	open     counter // of the current one
	inFlight counter // of files in closing
	now      atomic.Pointer[Current]

	closing chan *openFile // to the closer: one in its hands, one waiting; Close closes it
	ended   chan string    // to the hooks: names of complete files; the closer closes it
	ahead   chan struct{}  // to the preparer; Close closes it
	closed  chan struct{}  // the closer closes it when all files are
	failed  error          // first of closing files; read it when closed is
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

// span is the stretch of time whose packets go into one file: time stamps from
// lo to before hi.
type span struct {
	lo, hi int64
	reason Reason // why it ends at hi
}

func (p span) has(unixNano int64) bool { return unixNano >= p.lo && unixNano < p.hi }

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
	s.now.Store(&noCurrent)
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

// spanFrom is the time of a file that begins then.
func (s *FileSink) spanFrom(unixNano int64) span {
	p := span{lo: math.MinInt64, hi: math.MaxInt64}
	if s.Policy.Interval > 0 {
		lo, hi := rotate.IntervalBounds(time.Unix(0, unixNano), s.Policy.Interval)
		p = span{lo.UnixNano(), hi.UnixNano(), ReasonInterval}
	}
	if d := int64(s.Policy.Duration); d > 0 && unixNano+d < p.hi {
		p = span{max(p.lo, unixNano), unixNano + d, ReasonDuration}
	}
	if s.Unordered {
		p.lo = math.MinInt64
	}
	return p
}

// use makes f the current file.
func (s *FileSink) use(f *rotate.File, begin time.Time) error {
	w, err := capfile.NewWriter(f, s.Capture)
	if err != nil {
		return named(f.Name(), err)
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
			// Only now: its room for the mark was the end of part.
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
	if c.Packets == 0 {
		return 0, s.makePlace(c)
	}
	for {
		take, err := s.inTime(c)
		if err != nil {
			return 0, err
		}
		if n := s.Policy.Packets; n > 0 {
			if s.current != nil {
				n -= s.current.packets
			}
			take = uint32(min(uint64(take), n))
		}
		limit := s.tooLong(c)
		switch {
		case limit == 0:
			return take, nil
		case s.fresh():
			// Of one packet checkLimits knows that it fits.
			return max(1, min(take, s.share(c, limit))), nil
		case s.current.Size() < limit*7/8 && s.share(c, limit) > 0:
			return min(take, s.share(c, limit)), nil // limits that are small beside a chunk
		case limit == s.Stop.FileBytes:
			return 0, ErrEnough
		}
		if err := s.endFile(ReasonFilesize, c.Earliest); err != nil {
			return 0, err
		}
	}
}

// makePlace makes room for a chunk without packets.
func (s *FileSink) makePlace(c *capfile.Chunk) error {
	if s.fresh() || s.tooLong(c) == 0 {
		return nil
	}
	return s.endFile(ReasonFilesize, time.Now().UnixNano())
}

// fresh tells whether the current file, or the one to be opened, has no chunk.
func (s *FileSink) fresh() bool { return s.current == nil || s.current.Size() == s.empty.Size() }

// inTime ends the current file where the first packet of c is not of its time,
// and returns how many packets of c follow that are of the file's.
func (s *FileSink) inTime(c *capfile.Chunk) (uint32, error) {
	if s.Policy.Interval == 0 && s.Policy.Duration == 0 {
		return c.Packets, nil
	}
	first := firstStamp(c)
	for s.current != nil && !s.current.span.has(first) {
		f := s.current
		if err := s.endFile(f.span.reason, min(first, f.span.hi)); err != nil {
			return 0, err
		}
		if s.EmptyFiles && first >= f.span.hi {
			if err := s.openNext(time.Unix(0, f.span.hi)); err != nil {
				return 0, err
			}
		}
	}
	p := s.spanFrom(first)
	if s.current != nil {
		p = s.current.span
	}
	if p.has(c.Earliest) && p.has(c.Latest) {
		return c.Packets, nil
	}
	return countUntil(c, func(unixNano int64) bool { return !p.has(unixNano) }), nil
}

// firstStamp is the time stamp of the chunk's first packet.
func firstStamp(c *capfile.Chunk) int64 {
	p, _, _ := pcapng.ParsePacket(c.Content())
	return p.UnixNano
}

// countUntil counts the packets before the first one with such a time stamp.
func countUntil(c *capfile.Chunk, stop func(unixNano int64) bool) (n uint32) {
	content := c.Content()
	for n < c.Packets {
		p, length, ok := pcapng.ParsePacket(content)
		if !ok || stop(p.UnixNano) {
			break
		}
		content = content[length:]
		n++
	}
	return n
}

// writer writes the current file, or is as that of a new one.
func (s *FileSink) writer() *capfile.Writer {
	if s.current != nil {
		return s.current.Writer
	}
	return s.empty
}

// tooLong returns the limit that the file would exceed with c; 0: none.
func (s *FileSink) tooLong(c *capfile.Chunk) uint64 {
	size := s.writer().SizeWith(c)
	for _, limit := range []uint64{s.Stop.FileBytes, s.Policy.FileBytes} {
		if limit > 0 && size > limit {
			return limit
		}
	}
	return 0
}

// share guesses how many packets of c fit under limit; it is asked again where
// they do not.
func (s *FileSink) share(c *capfile.Chunk, limit uint64) uint32 {
	w := s.writer()
	without := w.SizeWith(nil)
	if without >= limit {
		return 0
	}
	return uint32(uint64(c.Packets) * (limit - without) / (w.SizeWith(c) - without) * 15 / 16)
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
// written or GiveUp is done: meanwhile the recording goes on in memory.
func (s *FileSink) persist(c *capfile.Chunk) error {
	for wait := retryInterval; ; wait = min(2*wait, maxRetryInterval) {
		err := s.put(c)
		switch {
		case err == nil:
			if s.trouble != "" {
				s.trouble = ""
				s.Event(Recovered{})
			}
			return nil
		case s.Series == nil || errors.Is(err, ErrEnough):
			return err
		}
		s.abandon()
		s.tellTrouble(err)
		select {
		case <-s.GiveUp.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// tellTrouble reports an error, but not again what was reported last.
func (s *FileSink) tellTrouble(err error) {
	if text := err.Error(); text != s.trouble {
		s.trouble = text
		s.Event(Trouble{err})
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
	if err := s.makeRoom(f.SizeWith(c)); err != nil {
		return err
	}
	before := c.Entry
	c.AddCounts(&s.unplaced)
	if err := f.WriteChunk(c); err != nil {
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
	if s.Sync == SyncFlush {
		return s.SyncNow()
	}
	return nil
}

// SyncNow implements Sink. What cannot be synced has been written all the
// same: a series reports it and goes on in another file, one file reports it
// when it is closed.
func (s *FileSink) SyncNow() error {
	if s.current == nil {
		return nil
	}
	err := named(s.current.file.Name(), s.current.file.Sync())
	switch {
	case err == nil:
	case s.Series != nil:
		s.tellTrouble(err)
		s.abandon()
	case s.syncing == nil:
		s.syncing = err
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
	s.Series.Discarded(f.file)
	f.file.Discard() // it has failed already, or is not wanted
}

// Discard undoes a sink of a series that has recorded nothing.
func (s *FileSink) Discard() error {
	if s.current != nil {
		s.drop()
	}
	return s.Series.Close()
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
		s.tellTrouble(err) // the next chunk tries again
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
	f.reason, f.end = reason, end
	s.inFlight.Add(f.Size())
	s.open.Store(0)
	s.tell()
	s.closing <- f
}
