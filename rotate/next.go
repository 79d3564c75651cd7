package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
)

// Next makes the next file, named for t, the time that it begins, as a clock in
// t's location shows it. A name that is taken is passed over. On an error
// no file is left behind, and Next may be called again. The entry in the
// directory is synced by the next Prepare, Retain or Close, not here, because
// that can take long.
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
	for try := s.firstTry(t); ; try++ {
		dir, name := s.reserve(t, try)
		if name == "" {
			continue
		}
		f, err := s.make(dir, name)
		if err == nil {
			s.keep(name, try)
			return &File{File: f, name: s.shown(name), rel: name,
				remove: func() error { return s.discard(f, name) }}, nil
		}
		s.release(name)
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}

// firstTry passes over the names that a pattern has given out already.
func (s *Series) firstTry(t time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stem := s.names.name(t, s.last, 0); stem != s.stem {
		s.stem, s.tries = stem, 0
	}
	return s.tries
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

func (s *Series) keep(name string, try int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = try + 1
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
		if err := dir.chown(folder, o.UID, o.GID); err != nil {
			return errors.Join(err, dir.remove(folder))
		}
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
