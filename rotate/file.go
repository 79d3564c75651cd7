package rotate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// Owner is who a new file belongs to. The zero value leaves it to the system.
type Owner struct {
	Set      bool
	UID, GID int
}

// CreateOptions tell how Create makes a file.
type CreateOptions struct {
	Owner Owner
	Force bool // remove a regular file that has the name
	// Recognize fails for a file that this program has not made: see Config. What a
	// process that was killed has left beside the file is removed by it; nil: nothing is.
	Recognize func(f *os.File) error
}

// File is a capture file that is being written. Writes append. While it is
// open it is locked (flock(2), exclusive), where the file system has locks:
// that tells a file that is being written from one that was cut short.
type File struct {
	*os.File
	Stage *Stage // long writes go past the page cache by way of it, see Write; nil: none does
	// Ahead: disk space is set aside ahead of what is written into the page cache,
	// 16 MiB at a time, where the file system can do that and has plenty. It costs less
	// than to find it page by page. Close gives back what is left, so it is not for
	// files that are to be found after a crash.
	Ahead bool

	noDirect bool         // they cannot, or no longer
	cached   atomic.Int64 // bytes that were written into the page cache, and not sent on to the disk
	sending  atomic.Bool  // they will be, soon
	aside    int64        // up to here disk space may have been set aside; 0: none was
	name     string
	rel      string   // in a series: relative to its directory
	newborn  *newborn // nil: it has its name
	publish  func() error
	remove   func() error // once it has its name
}

// Name returns the path of the file, its directory as the user wrote it. Before
// Publish it is the one that the file is to get.
func (f *File) Name() string { return f.name }

// Changed returns what somebody else has done to the file, which must be open and has
// size bytes as far as this process knows: an error that says so in a word or a few, or
// nil.
func (f *File) Changed(size int64) error {
	info, err := f.Stat()
	if err != nil {
		return nil // who writes to it will learn more
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && st.Nlink == 0:
		return errors.New("removed or replaced")
	case info.Size() < size:
		return fmt.Errorf("cut from %d to %d bytes", size, info.Size())
	case info.Size() > size:
		return fmt.Errorf("extended from %d to %d bytes", size, info.Size())
	}
	return nil
}

// Discard removes the file, which must be open, and closes it.
func (f *File) Discard() error {
	remove := f.remove
	if f.newborn != nil {
		remove = f.newborn.remove
	}
	return errors.Join(remove(), f.Close())
}

// Close gives back disk space that was set aside, and closes the file.
func (f *File) Close() error {
	var err error
	if f.aside > 0 {
		var end int64
		if end, err = f.Seek(0, io.SeekEnd); err == nil {
			err = f.Truncate(end)
		}
	}
	return errors.Join(err, f.File.Close())
}

// Create is New and Publish: the file is to be seen before anything is in it.
func Create(name string, o CreateOptions) (*File, error) {
	f, err := New(name, o)
	if err != nil {
		return nil, err
	}
	if err := f.Publish(); err != nil {
		return nil, errors.Join(err, f.Discard())
	}
	return f, nil
}

// New makes a new file that only its owner can read and write (0600). It can be
// written, and nobody sees it, until Publish gives it its name. It fails where
// something has that name already; a link in the last part is not followed. On an
// error nothing is left behind.
func New(name string, o CreateOptions) (*File, error) {
	if o.Force {
		if err := removeRegular(name); err != nil {
			return nil, err
		}
	}
	dir, base := plainDirectory(filepath.Dir(name)), filepath.Base(name)
	_, err := dir.lstat(base)
	if err == nil {
		err = fs.ErrExist
	}
	f := &File{name: name}
	if errors.Is(err, fs.ErrNotExist) {
		err = f.begin(dir, ".", o.Owner)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: cause(err)}
	}
	if f.newborn.temp != "" && o.Recognize != nil {
		sweepBeside(f, o)
	}
	f.publish = func() error {
		if err := f.nameAs(base); err != nil {
			return &fs.PathError{Op: "name", Path: name, Err: cause(err)}
		}
		f.newborn = nil
		return SyncDir(filepath.Dir(name))
	}
	f.remove = func() error { return removeSame(dir, f, base) }
	return f, nil
}

// cause is what went wrong, without which file it was about.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// claim gives a new file to its owner and locks it.
func claim(f *os.File, o Owner) error {
	if o.Set {
		if err := f.Chown(o.UID, o.GID); err != nil {
			return err
		}
	}
	// This waits, for a moment: nobody but one who looks whether the file is
	// locked (tunrec ls) can have it.
	if err := flock(f, syscall.LOCK_EX); err != nil && !errors.Is(err, errNoLocks) {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

var (
	errNoLocks = errors.New("the file system has no locks")
	errLocked  = errors.New("it is locked by another process")
)

// tryLock locks an open file, or fails where another process has it.
func tryLock(f *os.File, how int) error { return flock(f, how|syscall.LOCK_NB) }

func flock(f *os.File, how int) error {
	err := syscall.Flock(int(f.Fd()), how)
	for err == syscall.EINTR {
		err = syscall.Flock(int(f.Fd()), how)
	}
	switch {
	case err == syscall.EWOULDBLOCK:
		return errLocked
	case err == syscall.ENOTSUP || err == syscall.EOPNOTSUPP || err == syscall.ENOLCK || err == syscall.ENOSYS || err == syscall.EINVAL:
		return errNoLocks
	}
	return os.NewSyscallError("flock", err)
}

// removeRegular removes the file of that name, if there is one and it is a
// regular file.
func removeRegular(name string) error {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file, and is not overwritten: %w", name, fs.ErrInvalid)
	}
	return os.Remove(name)
}

// SyncDir makes what was created in or removed from a directory last.
func SyncDir(name string) error {
	d, err := os.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil // one may write into a directory that one may not list
	}
	if err != nil {
		return err
	}
	return errors.Join(syncOpen(d), d.Close())
}

func syncOpen(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // this file system keeps its directories in another way
	}
	return err
}
