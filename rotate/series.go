package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config tells what a series is called, where it is, and what is kept of it.
type Config struct {
	// Name is a prefix, "dir/capture", for numbered names, or (with any '%')
	// a strftime(3) pattern, "dir/%Y-%m-%d/%H". Directories above the first
	// '%' must exist; folders below are made, 0700.
	Name   string
	Suffix string // such as ".pcapng.zst"
	Policy Policy
	Owner  Owner // of files, and of folders that are made

	// Inspect tells whether a file is one that this program made. f is open
	// for reading at its begin. After an error the file is never touched.
	// A policy that removes files needs it.
	Inspect func(f *os.File) (Info, error)

	// Helper makes the files, with their owner, in a directory that this process
	// cannot write in. nil: this process does. Linux.
	Helper *Helper

	// LetBe is told once of each file or folder that this process may not look
	// into or remove, as one left by another user. nil: nobody is.
	LetBe func(name string, err error)
}

// Info is what is known of the packets in a complete file.
type Info struct {
	First, Last int64 // unix time in nanoseconds; 0: there are no packets
	Packets     uint64
}

// Series is a series of files in one directory. Each file belongs to it from
// Next on and is open until Closed or Discarded is called. All methods may be
// called from several goroutines, Next by one at a time; it waits neither for
// Prepare nor for Retain.
type Series struct {
	config  Config
	path    string // of the directory, as the user wrote it
	names   naming
	openDir func() (filesystem, error)

	retaining sync.Mutex // held throughout Retain; guards the contents of entries

	mu       sync.Mutex // never held during input or output; guards what follows
	dir      filesystem
	last     uint64            // the highest number given to a file
	stem     string            // the first name that the latest file might have had,
	tries    int               // and how many names made from it were tried
	open     map[string]bool   // files that are not complete
	complete map[string]*entry // files that may be removed
	unsynced map[string]bool   // folders
	told     map[string]bool   // what LetBe was told of
	prepared *os.File          // the next file, as yet without a name; or nil
}

// OpenSeries opens the directory of a series and looks what is there: numbers
// go on after the highest, and limits hold for the files of earlier runs, too.
// From then on the directory is reached by its descriptor: renaming its path
// or dropping privileges changes nothing. It fails where the directory is
// missing or not writable, and for a pattern that gives successive files of
// the policy one name.
func OpenSeries(c Config) (*Series, error) {
	dir, _ := splitName(c.Name)
	if c.Helper == nil {
		return openSeries(c, func() (filesystem, error) { return openDirectory(dir) })
	}
	c.Owner = Owner{} // the helper's
	return openSeries(c, func() (filesystem, error) { return openRemote(c.Helper, dir) })
}

func openSeries(c Config, openDir func() (filesystem, error)) (*Series, error) {
	names, err := newNaming(c)
	if err != nil {
		return nil, err
	}
	s := &Series{config: c, names: names, openDir: openDir,
		open: make(map[string]bool), unsynced: make(map[string]bool), told: make(map[string]bool)}
	s.path, _ = splitName(c.Name)
	if err := s.reopen(); err != nil {
		return nil, err
	}
	return s, nil
}

// Dir returns the directory that Create or OpenSeries makes files of this name in.
func Dir(name string) string {
	dir, _ := splitName(name)
	return dir
}

// splitName splits a series' name into its directory, above the first '%', and
// the rest.
func splitName(name string) (dir, rest string) {
	fixed, _, _ := strings.Cut(name, "%")
	at := strings.LastIndexByte(fixed, '/') + 1
	return filepath.Clean(name[:at]), name[at:]
}

func newNaming(c Config) (naming, error) {
	if err := c.Policy.Validate(); err != nil {
		return nil, err
	}
	_, rest := splitName(c.Name)
	if rest == "" {
		return nil, fmt.Errorf("%q is a directory: a series needs a name for its files", c.Name)
	}
	if !strings.Contains(rest, "%") {
		return numbered{rest, c.Suffix, c.Policy.NameTimeNum == 2}, nil
	}
	p, err := parsePattern(rest, c.Suffix)
	if err != nil {
		return nil, err
	}
	for what, every := range map[string]time.Duration{"duration": c.Policy.Duration, "interval": c.Policy.Interval} {
		if every == 0 {
			continue
		}
		if err := p.tellsApart(what, every); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// reopen opens the directory, for the first time or because another one has
// taken its place, and looks what is in it.
func (s *Series) reopen() error {
	dir, err := s.openDir()
	if err != nil {
		return err
	}
	found, err := s.find(dir)
	if err != nil {
		return errors.Join(err, dir.close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range found.files {
		s.last = max(s.last, s.names.number(name))
	}
	old := s.dir
	s.dir = dir
	s.complete = make(map[string]*entry)
	clear(s.unsynced)
	if old != nil {
		return old.close()
	}
	return nil
}

func (s *Series) current() filesystem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir
}

// Closed says that a file is complete, has size bytes and holds the packets
// of i. From now on Retain may remove it.
func (s *Series) Closed(f *File, size uint64, i Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, f.rel)
	e := &entry{name: f.rel, number: s.names.number(f.rel), size: size}
	if i.Packets > 0 {
		e.info = &i
	}
	s.complete[f.rel] = e
}

// Discarded says that a file was removed again.
func (s *Series) Discarded(f *File) {
	s.release(f.rel)
	s.touch(path.Dir(f.rel))
}

// Close gives up what is prepared and syncs the directory.
func (s *Series) Close() error {
	err := s.sync()
	if f := s.takePrepared(); f != nil {
		f.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.dir.close())
}

// letBe tells whether err is for want of permission. Then what it is about is
// passed over, every time anew, because the permission may come.
func (s *Series) letBe(name string, err error) bool {
	if !errors.Is(err, fs.ErrPermission) {
		return false
	}
	s.mu.Lock()
	isNew := !s.told[name]
	s.told[name] = true
	s.mu.Unlock()
	if isNew && s.config.LetBe != nil {
		s.config.LetBe(s.shown(name), err)
	}
	return true
}

// touch notes that a folder has to be synced.
func (s *Series) touch(folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsynced[folder] = true
}

// sync syncs all folders that were changed. One that fails is tried again the
// next time.
func (s *Series) sync() error {
	s.mu.Lock()
	dir := s.dir
	folders := slices.Sorted(maps.Keys(s.unsynced))
	clear(s.unsynced)
	s.mu.Unlock()

	var errs []error
	for _, folder := range folders {
		err := dir.sync(folder)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		s.touch(folder)
		errs = append(errs, fmt.Errorf("sync directory %s: %w", s.shown(folder), err))
	}
	return errors.Join(errs...)
}
