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

// Next makes the next file, to be named for t, the time that it begins, as a clock
// in t's location shows it. The file has its name, and uses up a number, only when
// Publish has been called, after its header was written. On an error no file is left
// behind, and Next may be called again. The entry in the directory is synced by the
// next Prepare, Retain or Close, not here, because that can take long.
func (s *Series) Next(t time.Time) (*File, error) {
	try, name := s.reserve(t, s.firstTry(t))
	f := &File{name: s.shown(name), rel: name}
	f.publish = func() error { return s.publish(f, t, try) }
	f.remove = func() error { return removeSame(s.current(), f, f.rel) }
	err := s.begin(f)
	if isGone(err) && s.reopen(lookMost) == nil {
		err = s.begin(f) // the directory has been made again
	}
	if err != nil {
		s.release(name)
		return nil, s.nextError(err)
	}
	return f, nil
}

func (s *Series) nextError(err error) error {
	return fmt.Errorf("make the next file in %s: %w", s.path, err)
}

// isGone reports whether err says that the directory is no longer there.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE)
}

// begin opens a file, or takes the one that is prepared.
func (s *Series) begin(f *File) error {
	dir, folder := s.current(), path.Dir(f.rel)
	if err := s.makeFolders(dir, folder); err != nil {
		return err
	}
	if file := s.takePrepared(); file != nil {
		f.newborn = &newborn{dir, s.config.Owner, ""}
		return f.hold(file)
	}
	return f.begin(dir, folder, s.config.Owner)
}

// publish gives a file the first of its names, from the try-th on, that is not taken.
func (s *Series) publish(f *File, t time.Time, try int) error {
	err := f.nameAs(f.rel)
	for ; errors.Is(err, fs.ErrExist); err = f.nameAs(f.rel) {
		s.release(f.rel)
		try, f.rel = s.reserve(t, try+1)
		f.name = s.shown(f.rel)
	}
	if isGone(err) {
		err = s.publishAnew(f)
	}
	if err != nil {
		return s.nextError(err)
	}
	f.newborn = nil
	s.keep(f.rel, t, try)
	return nil
}

// publishAnew gives a file its name where the folder has gone meanwhile: it is made
// again or, where the directory of the series has been, the file is.
func (s *Series) publishAnew(f *File) error {
	folder := path.Dir(f.rel)
	if folder != "." && f.newborn.temp == "" && s.makeFolders(s.current(), folder) == nil {
		if err := f.nameAs(f.rel); !isGone(err) {
			return err
		}
	}
	if err := s.reopen(lookMost); err != nil {
		return err
	}
	dir := s.current()
	if err := s.makeFolders(dir, folder); err != nil {
		return err
	}
	if err := f.moveTo(dir, folder); err != nil {
		return err
	}
	return f.nameAs(f.rel)
}

// firstTry passes over the names that a pattern has given out already.
func (s *Series) firstTry(t time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names.name(t, s.last, 0) != s.stem {
		return 0
	}
	return s.tries
}

// reserve finds the first name, from the try-th on, that is not known to be taken.
func (s *Series) reserve(t time.Time, try int) (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; ; try++ {
		name := s.names.name(t, s.last, try)
		if !s.open[name] && s.complete[name] == nil && !s.foreign[name] {
			s.open[name] = true
			return try, name
		}
	}
}

func (s *Series) release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, name)
}

// keep notes that a file has its name.
func (s *Series) keep(name string, t time.Time, try int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.latest = s.numbering, name
	s.numbering = numbering{s.names.number(name), s.names.name(t, s.last, 0), try + 1}
	s.unsynced[path.Dir(name)] = true
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
