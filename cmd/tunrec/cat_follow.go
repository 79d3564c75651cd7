package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/extract"
	"github.com/tunrec/tunrec/filter"
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
	read   map[string]bool // files that were read to their end
}

// follow reads one file until it is complete, or the files of a directory or
// series until a signal.
func follow(words []string, match *filter.Program, ui *ui) error {
	if len(words) != 1 || words[0] == "-" {
		return usageError(errors.New("--follow takes one file, directory or series"), "")
	}
	_, named, err := expandCaptures(words[0])
	if err != nil {
		return err
	}
	ctx, release := untilSignal()
	defer release()
	f := &follower{ctx: ctx, match: match, pick: extract.Everything, ui: ui, bad: damages{0, ui}, read: map[string]bool{}}
	for ctx.Err() == nil {
		next, err := f.next(words[0])
		if err != nil {
			return err
		}
		if next == nil {
			f.wait(nextInterval)
			continue
		}
		if err := f.file(next); err != nil {
			return err
		}
		if named && f.read[next.name] {
			break
		}
	}
	if f.out == nil {
		return nil
	}
	if err := f.out.Close(f.end); err != nil {
		return writeError(err)
	}
	return f.bad.err()
}

func writeError(err error) error { return errors.Join(errors.New("write to standard output"), err) }

// wait waits, but not longer than until a signal.
func (f *follower) wait(d time.Duration) {
	select {
	case <-f.ctx.Done():
	case <-time.After(d):
	}
}

// next finds the file with the oldest packets of those that were not read.
func (f *follower) next(word string) (*listed, error) {
	found, errs := findCaptures([]string{word})
	if len(errs) > 0 && len(f.read) == 0 {
		return nil, errs[0]
	}
	unread := slices.DeleteFunc(found, func(l listed) bool { return f.read[l.name] })
	inspectAll(unread)
	for _, l := range unread {
		if l.err != nil && l.named {
			return nil, l.err
		}
		if l.err != nil {
			f.read[l.name] = true
			if !errors.Is(l.err, os.ErrNotExist) {
				f.ui.say("left out: %v", l.err)
			}
		}
	}
	unread = slices.DeleteFunc(unread, func(l listed) bool { return l.err != nil })
	if len(unread) == 0 {
		return nil, nil
	}
	first := slices.MinFunc(unread, func(a, b listed) int { return cmp.Compare(a.age(), b.age()) })
	return &first, nil
}

// age orders files; one whose header is still being written is the newest.
func (l *listed) age() int64 {
	if l.state == lsOpen && l.info.Packets == 0 {
		return math.MaxInt64
	}
	return l.begin
}

// file writes the packets of a file until it is complete, or nobody writes it
// any more.
func (f *follower) file(l *listed) error {
	in, err := os.Open(l.name)
	if err != nil {
		return err
	}
	defer in.Close()
	var tail *capfile.Tail
	for f.ctx.Err() == nil {
		// In this order: what is written before the lock is given up is read.
		open := isLocked(in)
		stat, err := in.Stat()
		if err != nil {
			return err
		}
		if tail == nil {
			if tail, err = f.begin(in, stat.Size()); err != nil && !(open && errors.Is(err, io.ErrUnexpectedEOF)) {
				return err
			}
		}
		if tail != nil {
			if more, err := f.copy(tail, l.name, stat.Size()); err != nil || !more {
				f.read[l.name] = true
				return err
			}
		}
		if !open {
			return f.finish(in, l.name, stat.Size())
		}
		f.wait(growthInterval)
	}
	return nil
}

// begin reads the header of a file. That of the first one becomes the stream's.
func (f *follower) begin(in *os.File, size int64) (*capfile.Tail, error) {
	r, err := capfile.NewReader(in, size)
	if err != nil {
		return nil, err
	}
	if f.out == nil {
		section := r.Info().Section
		section.Application = "tunrec " + version
		applyFilter(f.match, &f.pick, &section)
		if f.out, err = capfile.NewWriter(streamFile{os.Stdout}, capfile.Config{Form: capfile.Stream, Section: section}); err != nil {
			return nil, writeError(err)
		}
	}
	return r.Tail(), nil
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
		if err := f.pick.Pick(c); err != nil {
			f.bad.add(&capfile.CorruptError{File: name, Offset: int64(c.FileOffset), Reason: "the chunk that begins there " + err.Error()})
			continue
		}
		if c.Packets > 0 {
			if f.end.Start == 0 {
				f.end.Start = c.Earliest
			}
			f.end.Stop = max(f.end.Stop, c.Latest)
		}
		c.Hash()
		if err := f.out.WriteChunk(c); err != nil {
			return false, writeError(err)
		}
	}
	return true, nil
}

// finish takes leave of a file that nobody writes any more.
func (f *follower) finish(in *os.File, name string, size int64) error {
	f.read[name] = true
	r, err := capfile.NewReader(in, size)
	if err != nil {
		return err
	}
	info := r.Info()
	if info.Damage != nil && !errors.Is(info.Damage, io.ErrUnexpectedEOF) {
		f.bad.add(info.Damage)
		return nil
	}
	if info.Damage != nil {
		f.ui.say("%v: it was read as far as it goes", info.Damage)
		return nil
	}
	counted := uint64(0)
	for e := range r.Chunks() {
		counted += e.DroppedByQueue + e.Dropped
	}
	f.end.Lost += max(info.Statistics.Dropped, counted) - counted
	return nil
}
