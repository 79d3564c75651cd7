package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"strings"
)

// pinSuffix is what the name of a file has after it beside a file that is to
// stay.
const pinSuffix = ".keep"

// found is what a look into the directory finds, by names alone.
type found struct {
	files  []string        // that can be of the series
	pinned map[string]bool // those of them that are to stay
}

// find lists the directory of a series, and the folders that its pattern may
// have made.
func (s *Series) find(dir filesystem) (found, error) {
	f := found{pinned: make(map[string]bool)}
	if err := s.findIn(dir, ".", 0, &f); err != nil {
		return found{}, fmt.Errorf("look for files of the series in %s: %w", s.path, err)
	}
	return f, nil
}

func (s *Series) findIn(dir filesystem, folder string, depth int, f *found) error {
	elems, err := dir.list(folder)
	if err != nil {
		return err
	}
	for _, elem := range elems {
		file, isPin := strings.CutSuffix(elem, pinSuffix)
		name := path.Join(folder, elem)
		isFolder := depth < s.names.folders()
		switch {
		case isFolder && s.names.matches(depth, elem):
			if err := s.findInFolder(dir, name, depth+1, f); err != nil {
				return err
			}
		case isFolder:
		case s.names.matches(depth, elem):
			f.files = append(f.files, name)
		case isPin && s.names.matches(depth, file):
			f.pinned[path.Join(folder, file)] = true
		}
	}
	return nil
}

// findInFolder passes over what only has a folder's name: a link may lead
// anywhere.
func (s *Series) findInFolder(dir filesystem, folder string, depth int, f *found) error {
	info, err := dir.lstat(folder)
	if err == nil && info.IsDir() {
		err = s.findIn(dir, folder, depth, f)
	}
	if errors.Is(err, fs.ErrNotExist) || s.letBe(folder, err) {
		return nil // removed just now, or another user's
	}
	return err
}

// entry is a file that is complete, or that was left by an earlier run.
type entry struct {
	name    string
	number  uint64 // from the name; 0: patterns have none
	size    uint64 // bytes
	info    *Info  // nil: not looked into yet
	changed int64  // unix time in nanoseconds, where info is not from Closed
	ignored bool   // not made by this program, or gone: never touched, not counted
	pinned  bool   // to stay: its bytes count, it does not
}

// first is when the packets of a file begin, and of a file without packets
// when it was last written.
func (e *entry) first() int64 {
	if e.info.First == 0 {
		return e.changed
	}
	return e.info.First
}

// latest is the counterpart of first.
func (e *entry) latest() int64 {
	if e.info.Last == 0 {
		return e.changed
	}
	return e.info.Last
}

// survey brings what is known of complete files up to date with the directory,
// and tells how many files are open.
func (r *retention) survey() (entries []*entry, open int, err error) {
	// Taken before the listing: a file that is closed meanwhile need not be in it.
	gone, _ := r.snapshot()
	f, err := r.find(r.dir)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range f.files {
		if gone[name] == nil {
			r.fail(r.discover(name))
		}
		delete(gone, name)
	}
	r.forget(gone)

	complete, open := r.snapshot()
	for name, e := range complete {
		e.pinned = f.pinned[name]
		entries = append(entries, e)
	}
	return entries, open, nil
}

// discover adds a file that was found, unless it is open.
func (r *retention) discover(name string) error {
	info, err := r.dir.lstat(name)
	if errors.Is(err, fs.ErrNotExist) || r.letBe(name, err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", r.shown(name), err)
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open[name] && r.complete[name] == nil {
		r.complete[name] = &entry{name: name, number: r.names.number(name),
			size: uint64(info.Size()), changed: info.ModTime().UnixNano()}
	}
	return nil
}

// snapshot returns the complete files and how many are open.
func (s *Series) snapshot() (complete map[string]*entry, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.complete), len(s.open)
}

func (s *Series) forget(gone map[string]*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range gone {
		delete(s.complete, name)
	}
}

// shown is a name as the user would write it.
func (s *Series) shown(name string) string { return filepath.Join(s.path, name) }
