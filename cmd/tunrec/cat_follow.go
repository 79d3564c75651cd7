package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/catalog"
	"github.com/tunrec/tunrec/extract"
	"github.com/tunrec/tunrec/filter"
	"github.com/tunrec/tunrec/internal/wake"
	"github.com/tunrec/tunrec/pcapng"
)

const (
	// growthInterval is how often a file that is being written is looked at.
	growthInterval = 100 * time.Millisecond
	// nextInterval is how often a directory is searched for the next file.
	nextInterval = 500 * time.Millisecond
)

// follower writes captures to standard output, one after the other, as they
// are recorded.
type follower struct {
	ctx    context.Context
	match  *filter.Program // nil: all packets
	out    *capfile.Writer // nil: nothing is written yet
	ui     *ui
	bad    damages
	pick   extract.Options
	end    capfile.End
	buffer capfile.Buffer
	seen   map[string]bool // files that are or were in queue
	queue  []catalog.File  // to be read, the oldest packets first
}

// follow reads one file until it is complete, or the files of a directory or
// series until a signal.
func follow(words []string, match *filter.Program, ui *ui) error {
	if len(words) != 1 || words[0] == "-" {
		return usageError(errors.New("--follow takes one file, directory or series"), "")
	}
	_, named, err := catalog.Expand(words[0])
	if err != nil {
		return err
	}
	ctx, release := untilSignal()
	defer release()
	ctx, gone := context.WithCancelCause(ctx)
	forget, err := onReaderGone(os.Stdout, func() { gone(errReaderGone) })
	if err != nil {
		return err
	}
	defer forget()
	f := &follower{ctx: ctx, match: match, pick: extract.Everything, ui: ui, bad: damages{ui: ui}, seen: map[string]bool{}}
	for ctx.Err() == nil {
		next, err := f.next(words[0])
		if err != nil {
			return err
		}
		if next == nil {
			f.wait(nextInterval)
			continue
		}
		if next.Err != nil {
			err = f.others(next.Name)
		} else {
			err = f.file(next)
		}
		if err != nil {
			return err
		}
		if named {
			break
		}
	}
	if f.out == nil || context.Cause(ctx) == errReaderGone {
		return f.bad.err()
	}
	if err := f.out.Close(f.end); err != nil {
		return writeError(err)
	}
	return f.bad.err()
}

var errReaderGone = errors.New("the reader of standard output has gone")

// onReaderGone calls gone once nobody can read any more what is written to f, where that
// is a pipe or a socket: without it that would show with the next packet only. The
// function that it returns ends the watch.
func onReaderGone(f *os.File, gone func()) (forget func(), err error) {
	r, err := wake.WatchReader(f)
	if r == nil {
		return func() {}, err
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		if r.Gone() {
			gone()
		}
	})
	return func() { r.Wake(); watch.Wait(); r.Close() }, nil
}

func writeError(err error) error { return errors.Join(errors.New("write to standard output"), err) }

// wait waits, but not longer than until a signal.
func (f *follower) wait(d time.Duration) {
	select {
	case <-f.ctx.Done():
	case <-time.After(d):
	}
}

// next takes the next file from the queue. Where that is empty, it looks for
// files that have come since; nil: there is none.
func (f *follower) next(word string) (*catalog.File, error) {
	if len(f.queue) == 0 {
		if err := f.look(word); err != nil {
			return nil, err
		}
	}
	if len(f.queue) == 0 {
		return nil, nil
	}
	next := f.queue[0]
	f.queue = f.queue[1:]
	return &next, nil
}

// look puts the files that it has not seen into the queue. One without packets,
// which may still get them, waits until there is no other. One that is named is
// taken even if it has no marks; its err says so. So it is once there is something
// in it.
func (f *follower) look(word string) error {
	found, errs := catalog.Captures([]string{word})
	if len(errs) > 0 && len(f.seen) == 0 {
		return errs[0]
	}
	found = slices.DeleteFunc(found, func(l catalog.File) bool { return f.seen[l.Name] })
	catalog.InspectAll(found)
	for _, l := range found {
		if l.Named && errors.Is(l.Err, capfile.ErrForeign) {
			f.queue = append(f.queue, l)
			return nil
		}
		if l.Named && begun(&l) {
			return nil // it waits for more of the file
		}
		if l.Err != nil && l.Named {
			return l.Err
		}
		if l.Err != nil {
			f.seen[l.Name] = true
			if !errors.Is(l.Err, fs.ErrNotExist) {
				f.ui.say("left out: %v", l.Err)
			}
		}
	}
	found = slices.DeleteFunc(found, func(l catalog.File) bool { return l.Err != nil })
	slices.SortStableFunc(found, func(a, b catalog.File) int { return cmp.Compare(age(&a), age(&b)) })
	for i, l := range found {
		if i > 0 && age(&l) == math.MaxInt64 {
			break
		}
		f.seen[l.Name] = true
		f.queue = append(f.queue, l)
	}
	return nil
}

// begun tells whether no more of a file is there than what it begins with, which
// does not tell yet who writes it.
func begun(l *catalog.File) bool {
	return errors.Is(l.Err, io.ErrUnexpectedEOF) || l.State == catalog.CutShort && l.Info.Chunks == 0
}

// age orders files; one that is still to get its first packet is the newest.
func age(l *catalog.File) int64 {
	if l.State == catalog.Open && l.Info.Packets == 0 {
		return math.MaxInt64
	}
	return l.Begin
}

// file writes the packets of a file until it is complete, or nobody writes it
// any more.
func (f *follower) file(l *catalog.File) error {
	in, err := os.Open(l.Name)
	if errors.Is(err, fs.ErrNotExist) && !l.Named { // removed since it was found
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	var tail *capfile.Tail
	for f.ctx.Err() == nil {
		// In this order: what is written before the lock is given up is read.
		open := catalog.Locked(in)
		stat, err := in.Stat()
		if err != nil {
			return err
		}
		if tail == nil {
			if tail, err = f.begin(in); err != nil && !(open && errors.Is(err, io.ErrUnexpectedEOF)) {
				return err
			}
		}
		if tail != nil {
			if more, err := f.copy(tail, l.Name, stat.Size()); err != nil || !more {
				return err
			}
		}
		if !open {
			return f.finish(l, in, stat.Size())
		}
		f.wait(growthInterval)
	}
	return nil
}

// begin reads the header of a file. That of the first one becomes the stream's.
func (f *follower) begin(in *os.File) (*capfile.Tail, error) {
	tail, err := capfile.NewTail(in)
	if err != nil {
		return nil, err
	}
	if err := f.start(tail.Section()); err != nil {
		return nil, err
	}
	return tail, nil
}

// start begins the stream, where it has not begun.
func (f *follower) start(section pcapng.Section) (err error) {
	if f.out != nil {
		return nil
	}
	section.Application = "tunrec " + version
	applyFilter(f.match, &f.pick, &section)
	if f.out, err = capfile.NewWriter(streamFile{os.Stdout}, capfile.Config{Form: capfile.Stream, Section: section}); err != nil {
		return writeError(err)
	}
	return nil
}

// copy writes the chunks that the file has by now, but for damaged ones. It
// returns false where it cannot go on behind one.
func (f *follower) copy(tail *capfile.Tail, name string, size int64) (more bool, err error) {
	for f.ctx.Err() == nil {
		c, err := tail.Next(size, &f.buffer)
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return true, nil
		}
		if _, damaged := errors.AsType[*capfile.CorruptError](err); damaged {
			if f.bad.add(err); tail.Skip() {
				continue
			}
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if err := f.write(c, name); err != nil {
			return false, err
		}
	}
	return true, nil
}

// write writes the packets of a chunk that the filter accepts.
func (f *follower) write(c *capfile.Chunk, name string) error {
	if err := f.pick.Pick(c); err != nil {
		f.bad.add(&capfile.CorruptError{File: name, Offset: int64(c.FileOffset), Reason: "the chunk that begins there " + err.Error()})
		return nil
	}
	if c.Packets > 0 {
		if f.end.Start == 0 {
			f.end.Start = c.Earliest
		}
		f.end.Stop = max(f.end.Stop, c.Latest)
	}
	c.Hash()
	if err := f.out.WriteChunk(c); err != nil {
		return writeError(err)
	}
	return nil
}

// finish takes leave of a file that nobody writes any more. What it says at its
// end is known, but of one that was open when it was looked at.
func (f *follower) finish(l *catalog.File, in *os.File, size int64) error {
	info := l.Info
	if l.State == catalog.Open {
		r, err := capfile.NewReader(in, size)
		if err != nil {
			return err
		}
		info = r.Info()
	}
	if info.Damage != nil && !errors.Is(info.Damage, io.ErrUnexpectedEOF) {
		f.bad.add(info.Damage)
		return nil
	}
	if info.Damage != nil {
		f.ui.say("%v: it was read as far as it goes", info.Damage)
		return nil
	}
	f.end.Counts.AddCounts(&info.Unplaced)
	return nil
}
