// Package extract takes packets out of capture files, in time order, and
// writes them as one section: all of them or those of a time range and a
// filter.
//
//	files ──inOrder──▶ chunks ──load──▶ packets asked for ──weave, pack──▶ chunks ──prepare──▶ output
//	      (order.go)          (load.go)                   (pack.go)              (output.go)
//
// Files that tunrec has made are read by their index: a chunk outside the
// range is not read, and one that lies inside it as a whole, and overlaps no
// other file's, is copied without being compressed again. Files of others
// (source.go) are read from their begin, and their frames are cut to IP.
// Load and prepare work on several chunks at once (parallel.go).
package extract

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/replay"
)

// Options tell which packets are taken. Everything is the ones that take all.
type Options struct {
	// From and To bound the packets' times, in nanoseconds since 1970-01-01
	// 00:00 UTC: From is the first that is taken, To the first that is not.
	// math.MaxInt64 is no bound.
	From, To int64
	// Match tells which packets are taken, see filter.Program; nil: all. It is
	// called from several goroutines.
	Match func(packet []byte, origLen int) bool
	// Count is how many packets are taken at most; 0: no limit.
	Count uint64
	// Progress is told how many bytes of the files have been read, from one
	// goroutine; nil: nobody.
	Progress func(done int64)
	// Damaged is told of each part of a file that could not be read. What can
	// be read is taken all the same.
	Damaged func(error)
}

// Everything takes all packets.
var Everything = Options{From: math.MinInt64, To: math.MaxInt64}

// Result is what Run has taken.
type Result struct {
	Packets     uint64
	First, Last int64          // earliest and latest time stamp; both 0 where there are no packets
	Chunks      uint64         // that were written,
	Copied      uint64         // and how many of them as they were
	Damaged     int            // calls of Options.Damaged
	Skipped     replay.Skipped // frames in files of others that hold no IP packet
	Mixed       []string       // files whose Section is that of their first interface, and others have followed
}

// extraction is one Run.
type extraction struct {
	Options
	ctx    context.Context
	out    output
	format Format
	result Result

	unplaced capfile.Entry       // counts of files that no chunk of theirs has
	ended    []pcapng.Statistics // of files without index that were taken as a whole
	read     int64               // bytes of the files
	held     atomic.Int64        // bytes of memory that reading on in files of others takes
	err      error               // what ended it early

	mu      sync.Mutex
	readers map[*reader]bool // open ones
}

// Run writes the packets of files to f. The packets of a file keep their order;
// several files are merged by time. The output's statistics count what was
// dropped and filtered in the chunks that it has packets of.
//
// The error is one of writing, of ctx, or of files that cannot be merged. f is
// not closed, and not complete then.
func Run(ctx context.Context, files []*File, f capfile.File, format Format, o Options) (Result, error) {
	x := &extraction{Options: o, ctx: ctx, format: format, readers: map[*reader]bool{}}
	x.result.Skipped = replay.Skipped{}
	defer x.closeReaders()
	files = slices.Clone(files)
	slices.SortStableFunc(files, byFirst)
	window := capfile.WindowBytes(slabBytes)
	for _, f := range files {
		window = max(window, f.window)
	}
	var err error
	if x.out, err = newOutput(f, format, window); err != nil {
		return Result{}, fmt.Errorf("write the header: %w", err)
	}
	loaded := parallel(x.inOrder(slices.DeleteFunc(slices.Clone(files), x.misses)), (*piece).weight, x.load)
	prepared := parallel(x.packed(loaded), (*piece).weight, x.prepare)
	for p := range prepared {
		err := p.err
		if err == nil {
			err = x.out.write(p)
		}
		if err != nil {
			return x.result, fmt.Errorf("write a chunk of packets: %w", err)
		}
		x.wrote(p)
	}
	if err := errors.Join(x.err, ctx.Err()); err != nil {
		return x.result, err
	}
	if err := x.out.Close(x.end(files)); err != nil {
		return x.result, fmt.Errorf("write the end: %w", err)
	}
	return x.result, nil
}

// wrote counts a piece that was written.
func (x *extraction) wrote(p *piece) {
	r, e := &x.result, &p.chunk.Entry
	if e.Packets > 0 {
		if r.Packets == 0 {
			r.First, r.Last = e.Earliest, e.Latest
		}
		r.First, r.Last = min(r.First, e.Earliest), max(r.Last, e.Latest)
	}
	r.Packets += uint64(e.Packets)
	r.Chunks++
	if p.ready {
		r.Copied++
	}
	p.free()
}

// end is what the files' statistics and the range say of the recording.
func (x *extraction) end(files []*File) capfile.End {
	e := capfile.End{Start: math.MaxInt64, Stop: math.MinInt64, Counts: x.unplaced}
	recordings := x.ended
	for _, f := range files {
		recordings = append(recordings, f.Info.Statistics)
	}
	for _, s := range recordings {
		if s.End != 0 {
			e.Start, e.Stop = min(e.Start, s.Start), max(e.Stop, s.End)
		}
	}
	e.Start, e.Stop = max(e.Start, x.From), min(e.Stop, x.To)
	if e.Start > e.Stop { // not known, or a recording made later, out of a file
		e.Start, e.Stop = x.result.First, x.result.Last
	}
	return e
}

// has tells whether a time is inside the range.
func (o *Options) has(t int64) bool {
	return t >= o.From && (t < o.To || o.To == math.MaxInt64)
}

// touches tells whether a part of the range lies between two times.
func (o *Options) touches(earliest, latest int64) bool {
	return latest >= o.From && (earliest < o.To || o.To == math.MaxInt64)
}

// misses tells whether the file says that it has nothing of the range.
func (o *Options) misses(f *File) bool {
	return f.Foreign == nil && f.Info.Packets > 0 && !o.touches(f.Info.First, f.Info.Last)
}

// Section describes files together: in each field what they all say or, where
// they differ, all that they say, without repetition. The snaplen is the
// largest. Application is left to the caller.
func Section(files []*File) pcapng.Section {
	var s pcapng.Section
	type field func(*pcapng.Section) *string
	for _, at := range []field{
		func(s *pcapng.Section) *string { return &s.Comment },
		func(s *pcapng.Section) *string { return &s.Hardware },
		func(s *pcapng.Section) *string { return &s.OS },
		func(s *pcapng.Section) *string { return &s.InterfaceName },
		func(s *pcapng.Section) *string { return &s.InterfaceDescription },
	} {
		seen := map[string]bool{"": true}
		var values []string
		room := pcapng.MaxOptionLen - len("\x00")
		for _, f := range files {
			v := *at(&f.Info.Section)
			if !seen[v] && len(v)+len(", ") <= room {
				room -= len(v) + len(", ")
				values = append(values, v)
			}
			seen[v] = true
		}
		*at(&s) = strings.Join(values, ", ")
	}
	s.Filter = eitherFilter(files)
	for i, f := range files {
		snaplen := f.Info.Section.Snaplen
		if i == 0 || snaplen == 0 || s.Snaplen != 0 && snaplen > s.Snaplen {
			s.Snaplen = snaplen
		}
	}
	return s
}

// eitherFilter is what all packets of the files have passed: "" where a file has
// no filter, or where it would be too long to be noted.
func eitherFilter(files []*File) string {
	var filters []string
	for _, f := range files {
		filter := f.Info.Section.Filter
		if filter == "" {
			return ""
		}
		if !slices.Contains(filters, filter) {
			filters = append(filters, filter)
		}
	}
	if len(filters) < 2 {
		return strings.Join(filters, "")
	}
	either := "(" + strings.Join(filters, ") or (") + ")"
	if len(either) >= pcapng.MaxOptionLen {
		return ""
	}
	return either
}
