package rotate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
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

	// Recognize fails for a file that is not of this series. f is open for reading
	// at its start; to look at its header has to be enough, because OpenSeries asks
	// of every file with a name of the series. nil: Inspect is asked.
	Recognize func(f *os.File) error
	// Inspect tells what is in a file of the series. After an error the file is never
	// touched. A policy that removes files needs it.
	Inspect func(f *os.File) (Info, error)

	// Helper makes the files, with their owner, in a directory that this process
	// cannot write in. nil: this process does. Linux.
	Helper *Helper

	// LetBe is told once of each file or folder that has a name of the series and
	// counts for nothing, and why: it is not the series' own, or this process may not
	// look into it or remove it. After toldMost of them the directory stands for the
	// rest. nil: nobody is told.
	LetBe func(name string, err error)
}

// toldMost is how many files LetBe is told of: anybody can make names.
const toldMost = 100

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

	uid int // whose the files are

	mu  sync.Mutex // never held during input or output; guards what follows
	dir filesystem
	numbering
	latest   string            // the file that got its name last,
	before   numbering         // and what was before it
	open     map[string]bool   // files that are not complete
	unsafe   map[string]bool   // files that may not be on the disk
	complete map[string]*entry // files that may be removed
	foreign  map[string]bool   // what has a name of the series and is none of its own
	unsynced map[string]bool   // folders
	told     map[string]bool   // what LetBe was told of
	prepared *os.File          // the next file, as yet without a name; or nil
}

// numbering is where the names are.
type numbering struct {
	last  uint64 // the number that was given last
	stem  string // the first name that the latest file might have had,
	tries int    // and how many names made from it were tried
}

// OpenSeries opens the directory of a series and looks what is there: numbers
// go on after the last one, and limits hold for the files of earlier runs, too.
// It looks into all of them, so that nothing has to wait for that later.
// From then on the directory is reached by its descriptor: renaming its path
// or dropping privileges changes nothing. It fails where the directory is
// missing or not writable, and for a pattern that gives successive files of
// the policy one name. ErrCannotHold: the policy can never hold there.
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
		open: make(map[string]bool), unsafe: make(map[string]bool),
		unsynced: make(map[string]bool), told: make(map[string]bool)}
	s.path, _ = splitName(c.Name)
	if err := s.reopen(math.MaxInt); err != nil {
		return nil, err
	}
	if err := s.checkSpace(); err != nil {
		return nil, errors.Join(err, s.dir.close())
	}
	return s, nil
}

// ErrCannotHold: a policy asks for what the file system does not have.
var ErrCannotHold = errors.New("cannot hold")

func (s *Series) checkSpace() error {
	p := s.config.Policy
	if p.MinFree == 0 {
		return nil
	}
	_, size, err := s.dir.space()
	switch {
	case err != nil:
		return err
	case p.MinFree >= size:
		return fmt.Errorf("minfree (%d bytes) %w: the file system of %s has %d bytes", p.MinFree, ErrCannotHold, s.path, size)
	case p.FileBytes > size-p.MinFree:
		return fmt.Errorf("minfree (%d bytes) and filesize (%d bytes) %w together: the file system of %s has %d bytes",
			p.MinFree, p.FileBytes, ErrCannotHold, s.path, size)
	}
	return nil
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
// taken its place, and looks what is in it: into most files at once.
func (s *Series) reopen(most int) error {
	dir, err := s.openDir()
	if err != nil {
		return err
	}
	found, err := s.find(dir)
	if err != nil {
		return errors.Join(err, dir.close())
	}
	uid := ownerOf(dir, s.config.Owner)
	if f := s.takePrepared(); f != nil {
		f.Close() // it cannot be linked there
	}
	s.mu.Lock()
	old := s.dir
	s.dir, s.uid = dir, uid
	s.complete, s.foreign = make(map[string]*entry), make(map[string]bool)
	clear(s.unsynced)
	s.mu.Unlock()
	s.sweep(dir, found.temporary)
	s.goOn(dir, found.files, most)
	if old != nil {
		return old.close()
	}
	return nil
}

// goOn looks into the files that are there and goes on with their numbers. Where
// nothing is ever removed, those behind the last one do not matter.
func (s *Series) goOn(dir filesystem, names []string, most int) {
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(s.names.number(b), s.names.number(a)) })
	var own []string
	for _, name := range names[:min(most, len(names))] {
		if s.discover(dir, name) {
			own = append(own, name)
			if !s.config.Policy.removes() {
				break
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, s.names.latest(own))
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

// Unsafe says that a file may not be on the disk, because it could not be synced,
// and Safe that it is after all. Each may be called at any time: before Closed it
// holds from then on. A file that is not safe does not count for the
// limit on files and is not removed for it, so that no number of them pushes out
// others that are safe. For the limits on bytes, space and age it is as any other.
func (s *Series) Unsafe(f *File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsafe[f.rel] = true
}

// Safe ends what Unsafe began.
func (s *Series) Safe(f *File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unsafe, f.rel)
}

// Discarded says that a file was removed again, or never had its name. If it was the
// latest one, its number is given to the next.
func (s *Series) Discarded(f *File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, f.rel)
	delete(s.unsafe, f.rel)
	s.unsynced[path.Dir(f.rel)] = true
	if f.rel == s.latest {
		s.numbering, s.latest = s.before, ""
	}
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

// isForbidden reports whether err is for want of permission. Then what it is about is
// passed over, every time anew, because the permission may come.
func (s *Series) isForbidden(name string, err error) bool {
	if !errors.Is(err, fs.ErrPermission) {
		return false
	}
	s.letBe(name, err)
	return true
}

// letBe says, once, that something is let be.
func (s *Series) letBe(name string, err error) {
	s.mu.Lock()
	isNew := !s.told[name] && len(s.told) <= toldMost
	if isNew {
		s.told[name] = true
	}
	n := len(s.told)
	s.mu.Unlock()
	switch {
	case !isNew || s.config.LetBe == nil:
	case n > toldMost:
		s.config.LetBe(s.path, fmt.Errorf("more than %d such files are in it: no more are named", toldMost))
	default:
		s.config.LetBe(s.shown(name), err)
	}
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
