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
	files     []string        // that can be of the series
	pinned    map[string]bool // those of them that are to stay
	temporary []string        // that may have been about to become some
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
		case isTemporary(elem):
			f.temporary = append(f.temporary, name)
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
	if errors.Is(err, fs.ErrNotExist) || s.isForbidden(folder, err) {
		return nil // removed just now, or another user's
	}
	return err
}

// entry is a file that is complete, or that was left by an earlier run.
type entry struct {
	name    string
	number  uint64 // from the name; 0: patterns have none
	size    uint64 // bytes, see bytesOnDisk
	info    *Info  // nil: not looked into yet
	changed int64  // unix time in nanoseconds, where info is not from Closed
	ignored bool   // not of the series after all, or gone: never touched, not counted
	pinned  bool   // to stay: its bytes count, it does not
	unsafe  bool   // may not be on the disk: so does it
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

// lookMost is how many new files are looked into at once while packets may wait for
// it. All others count when it is their turn.
const lookMost = 64

// survey brings what is known of complete files up to date with the directory,
// and tells how many files are open.
func (r *retention) survey() (entries []*entry, open int, err error) {
	// Taken before the listing: a file that is closed meanwhile need not be in it.
	gone, foreign, _ := r.snapshot()
	f, err := r.find(r.dir)
	if err != nil {
		return nil, 0, err
	}
	looked := 0
	for _, name := range f.files {
		if gone[name] == nil && !foreign[name] && looked < lookMost {
			looked++
			r.discover(r.dir, name)
		}
		delete(gone, name)
		delete(foreign, name)
	}
	r.forget(gone, foreign)

	complete, _, open := r.snapshot()
	for name, e := range complete {
		e.pinned, e.unsafe = f.pinned[name], r.isUnsafe(name)
		entries = append(entries, e)
	}
	return entries, open, nil
}

// discover looks into a file that was found, unless it is open here, and reports
// whether it is one of the series' own. What is not is passed over from then on, but
// for what may not be looked into.
func (s *Series) discover(dir filesystem, name string) bool {
	if s.isOpen(name) {
		return false
	}
	e, err := s.examine(dir, name)
	if errors.Is(err, fs.ErrNotExist) || s.isForbidden(name, err) {
		return false
	}
	if err != nil {
		s.letBe(name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open[name] || s.complete[name] != nil: // since a moment ago
	case err != nil:
		s.foreign[name] = true
	default:
		s.complete[name] = e
	}
	return err == nil
}

func (s *Series) isOpen(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[name]
}

func (s *Series) lastNumber() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *Series) isUnsafe(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsafe[name]
}

// snapshot returns what is known of files, and how many are open, those left out that
// cannot be synced.
func (s *Series) snapshot() (complete map[string]*entry, foreign map[string]bool, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.open {
		if !s.unsafe[name] {
			open++
		}
	}
	return maps.Clone(s.complete), maps.Clone(s.foreign), open
}

// forget forgets what is no longer in the directory.
func (s *Series) forget(gone map[string]*entry, foreign map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range gone {
		delete(s.complete, name)
		delete(s.unsafe, name)
	}
	for name := range foreign {
		delete(s.foreign, name)
	}
}

// shown is a name as the user would write it.
func (s *Series) shown(name string) string { return filepath.Join(s.path, name) }
