package extract

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"math"
	"slices"
	"sync"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/replay"
)

// File is a capture file that packets can be taken from.
type File struct {
	Name string
	// Info is what the file says of itself. Of a Foreign one it has only Section,
	// and First: the time of the first packet in it.
	Info capfile.Info
	// Foreign says why the file has no index to be read by, where that is so:
	// it was not made by tunrec, or is a saved stream, or of frames.
	Foreign error

	reader    *capfile.Reader // closed; knows where the chunks are
	window    int
	stdin     *replay.Reader
	described bool // Foreign: Info.Section is what it says itself
}

// Inspect looks at the capture file at path; "-" is standard input. The error
// is one of opening or reading it, says what else it is (replay.ErrNoCapture), or
// is damage before the first packet.
func Inspect(path string) (*File, error) {
	if path == "-" {
		r, err := replay.Open(path)
		if err != nil {
			return nil, err
		}
		f := &File{Name: path, Foreign: errors.New("standard input is a stream"), stdin: r}
		f.Info.First = math.MinInt64
		f.describe(r)
		return f, nil
	}
	r, err := capfile.Open(path)
	if errors.Is(err, capfile.ErrForeign) {
		return inspectForeign(path, err)
	}
	if err != nil {
		return nil, err
	}
	r.Close() // it was only read
	return &File{Name: path, Info: r.Info(), reader: r, window: r.WindowBytes()}, nil
}

// oneForeign lets files of others be looked at one at a time: each may take some
// 100 MiB to be decompressed.
var oneForeign sync.Mutex

func inspectForeign(path string, foreign error) (*File, error) {
	oneForeign.Lock()
	defer oneForeign.Unlock()
	f := &File{Name: path, Foreign: foreign}
	r, err := replay.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f.describe(r)
	f.Info.First = math.MaxInt64 // of a file without packets
	for p, err := range packets(r) {
		if err != nil { // even if it is damage: there is no packet before it
			return nil, err
		}
		f.Info.First = p.UnixNano
		break
	}
	return f, nil
}

// describe takes over what the file says of its capture, where its packets go
// on as they are. Of others' interface the caller may know the name.
func (f *File) describe(r *replay.Reader) {
	section, _, ok := r.Described()
	if f.described = ok; !ok {
		section = pcapng.Section{InterfaceDescription: "tunrec: packets from a capture file"}
	}
	f.Info.Section = section
}

// InspectAll is Inspect for several files, some at a time: most of it is waiting
// for the disk.
func InspectAll(paths []string) ([]*File, []error) {
	type inspected struct {
		file *File
		err  error
	}
	files, errs := make([]*File, 0, len(paths)), make([]error, 0, len(paths))
	one := func(string) int64 { return 0 }
	for i := range parallel(slices.Values(paths), one, func(path string) inspected {
		f, err := Inspect(path)
		return inspected{f, err}
	}) {
		files, errs = append(files, i.file), append(errs, i.err)
	}
	return files, errs
}

// Span returns the earliest and the latest time stamp of files. Those that are
// not by tunrec are read for it, to their end or their damage; of standard
// input it is not known (fs.ErrInvalid).
func Span(files []*File) (first, last int64, err error) {
	first, last = math.MaxInt64, math.MinInt64
	for _, f := range files {
		switch {
		case f.stdin != nil:
			return 0, 0, fs.ErrInvalid
		case f.Foreign != nil:
			r, err := replay.Open(f.Name)
			if err != nil {
				continue // it will be said when its packets are taken
			}
			for p, err := range packets(r) {
				if err != nil {
					break // that, too
				}
				first, last = min(first, p.UnixNano), max(last, p.UnixNano)
			}
			r.Close() // it was only read
		case f.Info.Packets > 0:
			first, last = min(first, f.Info.First), max(last, f.Info.Last)
		}
	}
	return first, last, nil
}

// First returns the earliest time that is known without reading packets, of
// files that have none math.MaxInt64; that of standard input is not known
// (fs.ErrInvalid).
func First(files []*File) (int64, error) {
	first := int64(math.MaxInt64)
	for _, f := range files {
		switch {
		case f.stdin != nil:
			return 0, fs.ErrInvalid
		case f.Foreign != nil || f.Info.Packets > 0:
			first = min(first, f.Info.First)
		}
	}
	return first, nil
}

func byFirst(a, b *File) int { return cmp.Compare(a.Info.First, b.Info.First) }

// isEOF tells the end of a foreign file.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }
