// Package catalog finds capture files by directory, prefix of a series or name, and
// tells what state they are in.
package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/capfile"
)

// State is what a file looks like.
type State string

const (
	Complete State = "complete"  // it has its index
	Open     State = "open"      // it is being written
	CutShort State = "cut short" // its recorder was killed
	Damaged  State = "damaged"   // it has wrong bytes
)

// File is a file that was found, and what it says of itself.
type File struct {
	Name   string
	Named  bool // by the user, not found in a directory
	State  State
	Info   capfile.Info
	Reader *capfile.Reader // closed; knows where the chunks are; nil: the header is on the way
	Begin  int64           // what the list is sorted by, ns since 1970
	Err    error
}

// Captures finds the files that the arguments name, each once.
func Captures(args []string) (files []File, errs []error) {
	return find(args, Expand)
}

// pinSuffix is that of the files that make rotate.Series keep others.
const pinSuffix = ".keep"

// Files is Captures for those who read files of others: in a directory
// it finds files of any name.
func Files(args []string) (files []File, errs []error) {
	return find(args, func(arg string) (names []string, named bool, err error) {
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			names, err := filesIn(arg, func(name string) bool {
				return !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, pinSuffix)
			})
			return names, false, err
		}
		return Expand(arg)
	})
}

func find(args []string, expand func(arg string) (names []string, named bool, err error)) (files []File, errs []error) {
	seen := map[string]bool{}
	for _, arg := range args {
		names, named, err := expand(arg)
		if err != nil {
			errs = append(errs, err)
		}
		for _, name := range names {
			if !seen[filepath.Clean(name)] {
				seen[filepath.Clean(name)] = true
				files = append(files, File{Name: name, Named: named})
			}
		}
	}
	return files, errs
}

// seriesPart is what stands between the prefix and the suffix in the names of
// a series.
var seriesPart = regexp.MustCompile(`^(\d{5,}_\d{14}|\d{14}_\d{5,})$`)

// Expand finds the files that one argument names, and reports whether it
// names a single one.
func Expand(arg string) (names []string, named bool, err error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		names, err = capturesIn(arg, func(string) bool { return true })
		return names, false, err
	case err == nil && !info.Mode().IsRegular():
		return nil, true, fmt.Errorf("%s is not a regular file", arg)
	case err == nil:
		return []string{arg}, true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, true, err
	}
	dir, prefix := filepath.Split(arg)
	if s, ok := Stem(prefix); ok {
		prefix = s
	}
	names, err = capturesIn(filepath.Clean(dir), func(stem string) bool {
		rest, ok := strings.CutPrefix(stem, prefix)
		return ok && (rest == "" || rest[0] == '_' && seriesPart.MatchString(rest[1:]))
	})
	if len(names) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		err = fmt.Errorf("%s is neither a file nor a directory nor the prefix of a series", arg)
	}
	return names, false, err
}

// capturesIn returns the regular files of a directory that are named as
// captures and whose stem is wanted.
func capturesIn(dir string, want func(stem string) bool) (names []string, err error) {
	return filesIn(dir, func(name string) bool {
		stem, ok := Stem(name)
		return ok && want(stem)
	})
}

// filesIn returns the regular files of a directory whose names are wanted.
func filesIn(dir string, want func(name string) bool) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !want(e.Name()) {
			continue
		}
		name, regular := filepath.Join(dir, e.Name()), e.Type().IsRegular()
		if !regular { // a link may lead to one
			info, err := os.Stat(name)
			regular = err == nil && info.Mode().IsRegular()
		}
		if regular {
			names = append(names, name)
		}
	}
	return names, err
}

// Stem takes .pcapng or .pcapng.zst off a name.
func Stem(name string) (stem string, ok bool) {
	return strings.CutSuffix(strings.TrimSuffix(name, ".zst"), ".pcapng")
}

// InspectAll fills in what the files say of themselves. Several are read at a
// time: most of it is waiting for the disk.
func InspectAll(files []File) {
	const readers = 8
	next := make(chan *File)
	var running sync.WaitGroup
	for range readers {
		running.Go(func() {
			for f := range next {
				f.inspect()
			}
		})
	}
	for i := range files {
		next <- &files[i]
	}
	close(next)
	running.Wait()
}

func (l *File) inspect() {
	f, err := os.Open(l.Name)
	if err != nil {
		l.Err = err
		return
	}
	defer f.Close()
	// In this order: a recorder that ends in between leaves a file that is
	// taken for open or complete, never for cut short.
	open := Locked(f)
	stat, err := f.Stat()
	if err != nil {
		l.Err = err
		return
	}
	l.Begin = stat.ModTime().UnixNano()
	r, err := capfile.NewReader(f, stat.Size())
	if open && errors.Is(err, io.ErrUnexpectedEOF) { // its header is on the way
		l.State, l.Info.Size = Open, stat.Size()
		return
	}
	if err != nil {
		l.Err = err
		return
	}
	l.Info, l.Reader = r.Info(), r
	switch i := &l.Info; {
	case i.Packets > 0:
		l.Begin = i.First
	case i.Statistics.Start != 0:
		l.Begin = i.Statistics.Start
	}
	switch damage := l.Info.Damage; {
	case damage == nil:
		l.State = Complete
	case open:
		l.State, l.Info.Damage = Open, nil // it is not at its end yet
	case errors.Is(damage, io.ErrUnexpectedEOF):
		l.State = CutShort
	default:
		l.State = Damaged
	}
}

// Locked reports whether another process has the lock that a recorder holds
// on the file it writes.
func Locked(f *os.File) bool {
	err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		unix.Flock(int(f.Fd()), unix.LOCK_UN)
	}
	return err == unix.EWOULDBLOCK
}
