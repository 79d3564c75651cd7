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
	"syscall"
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
	Inspect func(f *os.File) (Info, error)
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
	open     map[string]bool   // files that are not complete
	complete map[string]*entry // files that may be removed
	unsynced map[string]bool   // folders
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
	return openSeries(c, func() (filesystem, error) { return openDirectory(dir) })
}

func openSeries(c Config, openDir func() (filesystem, error)) (*Series, error) {
	names, err := newNaming(c)
	if err != nil {
		return nil, err
	}
	s := &Series{config: c, names: names, openDir: openDir,
		open: make(map[string]bool), unsynced: make(map[string]bool)}
	s.path, _ = splitName(c.Name)
	if err := s.reopen(); err != nil {
		return nil, err
	}
	return s, nil
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

// Next makes the next file, named for t, the time that it begins. A name that
// is taken is passed over. On an error nothing is left behind, and Next may be
// called again. The entry in the directory is synced by the next Prepare or by
// Close.
func (s *Series) Next(t time.Time) (*File, error) {
	f, err := s.next(t)
	isGone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE)
	if isGone && s.reopen() == nil {
		f, err = s.next(t) // the directory has been made again
	}
	if err != nil {
		return nil, fmt.Errorf("make the next file in %s: %w", s.path, err)
	}
	return f, nil
}

func (s *Series) next(t time.Time) (*File, error) {
	for try := 0; ; try++ {
		dir, name := s.reserve(t, try)
		if name == "" {
			continue
		}
		f, err := s.make(dir, name)
		if err == nil {
			s.keep(name)
			return &File{File: f, name: s.shown(name), rel: name,
				remove: func() error { return s.discard(f, name) }}, nil
		}
		s.release(name)
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

// reserve finds a name, or "" where it is known to be taken.
func (s *Series) reserve(t time.Time, try int) (dir filesystem, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = s.names.name(t, s.last, try)
	if s.open[name] || s.complete[name] != nil {
		return s.dir, ""
	}
	s.open[name] = true
	return s.dir, name
}

func (s *Series) release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, name)
}

func (s *Series) keep(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, s.names.number(name))
	s.unsynced[path.Dir(name)] = true
}

// make makes a file: the one that is prepared, or, where there is none or it
// cannot be given its name, a new one.
func (s *Series) make(dir filesystem, name string) (*os.File, error) {
	if err := s.makeFolders(dir, path.Dir(name)); err != nil {
		return nil, err
	}
	if f := s.takePrepared(); f != nil {
		named, err := dir.link(f, name)
		if err == nil {
			return named, nil
		}
		if errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(err, s.putPrepared(f))
		}
		f.Close() // a file without a name is lost, as it should be
	}
	f, err := dir.create(name)
	if err != nil {
		return nil, err
	}
	if err := claim(f, s.config.Owner); err != nil {
		return nil, errors.Join(err, f.Close(), dir.remove(name))
	}
	return f, nil
}

func (s *Series) makeFolders(dir filesystem, folder string) error {
	if folder == "." {
		return nil
	}
	if _, err := dir.lstat(folder); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.makeFolders(dir, path.Dir(folder)); err != nil {
		return err
	}
	err := dir.mkdir(folder)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.touch(path.Dir(folder))
	if o := s.config.Owner; o.Set {
		return dir.chown(folder, o.UID, o.GID)
	}
	return nil
}

func (s *Series) takePrepared() *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.prepared
	s.prepared = nil
	return f
}

// putPrepared makes f the prepared file, unless there is one.
func (s *Series) putPrepared(f *os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared != nil {
		return f.Close()
	}
	s.prepared = f
	return nil
}

// Prepare does ahead of time what Next would wait for: it opens the next file,
// as yet without a name, where the system can do that (Linux, open(2)
// O_TMPFILE), and syncs the directory entries of the files made so far. Such a
// file vanishes with the process.
func (s *Series) Prepare() error {
	s.mu.Lock()
	dir, has := s.dir, s.prepared != nil
	s.mu.Unlock()
	if has {
		return s.sync()
	}
	f, err := dir.unnamed()
	if errors.Is(err, errors.ErrUnsupported) {
		return s.sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open the next file ahead of time: %w", err), s.sync())
	}
	if err := claim(f, s.config.Owner); err != nil {
		return errors.Join(err, f.Close(), s.sync())
	}
	return errors.Join(s.putPrepared(f), s.sync())
}

// discard removes an open file, unless something else has its name by now.
func (s *Series) discard(f *os.File, name string) error {
	made, err := f.Stat()
	if err != nil {
		return err
	}
	dir := s.current()
	found, err := dir.lstat(name)
	if err != nil || !os.SameFile(made, found) {
		return err
	}
	return dir.remove(name)
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
