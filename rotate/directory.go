package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// O_RDWR: what is written before a file has its name may have to be copied.
const createFlags = os.O_RDWR | os.O_CREATE | os.O_EXCL | os.O_APPEND | syscall.O_NOFOLLOW

var errUnnamed = fmt.Errorf("files without a name: %w", errors.ErrUnsupported)

// directory is the filesystem of the system. It holds the directory by a
// descriptor: it stays the same one when its path is renamed or can no longer
// be reached.
type directory struct {
	path string   // as the user wrote it
	root *os.Root // nothing outside it is reached through a name
	self *os.File
}

// openDirectory fails where nothing can be made in the directory.
func openDirectory(name string) (*directory, error) {
	root, err := os.OpenRoot(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("directory %s does not exist: make it first: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("open the directory of a series: %w", err)
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the directory of a series: %w", err), root.Close())
	}
	d := &directory{name, root, self}
	if err := unix.Faccessat(int(self.Fd()), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return nil, errors.Join(fmt.Errorf("no file can be made in directory %s: %w", name, err), d.close())
	}
	return d, nil
}

// shown is a name as the user would write it.
func (d *directory) shown(name string) string { return filepath.Join(d.path, name) }

func (d *directory) create(name string) (*os.File, error) {
	return d.root.OpenFile(name, createFlags, 0o600)
}

func (d *directory) unnamed() (*os.File, error) {
	f, err := openUnnamed(int(d.self.Fd()), ".")
	return f, pathError("open a new file in", d.path, err)
}

func (d *directory) link(f *os.File, name string) error {
	return d.inFolder("link", name, func(dir int, base string) error { return linkUnnamed(f, dir, base) })
}

func (d *directory) rename(from, to string) error {
	return d.inFolder("rename", to, func(dir int, base string) error { return renameNew(dir, path.Base(from), base) })
}

// inFolder does something in the folder that a name is in.
func (d *directory) inFolder(what, name string, do func(dir int, base string) error) error {
	folder, err := d.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	err = do(int(folder.Fd()), path.Base(name))
	folder.Close() // of what is only read it has nothing to say
	return pathError(what, d.shown(name), err)
}

func pathError(op, name string, err error) error {
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (d *directory) mkdir(name string) error { return d.root.Mkdir(name, 0o700) }

func (d *directory) chown(name string, uid, gid int) error { return d.root.Lchown(name, uid, gid) }

func (d *directory) remove(name string) error { return d.root.Remove(name) }

func (d *directory) lstat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }

func (d *directory) open(name string) (*os.File, error) {
	// O_NONBLOCK: a FIFO that took the file's place must not stop us.
	return d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func (d *directory) list(folder string) ([]string, error) {
	f, err := d.root.Open(folder)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	return names, err
}

func (d *directory) sync(folder string) error {
	if folder == "." {
		return syncOpen(d.self)
	}
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	return syncOpen(f)
}

func (d *directory) space() (free, size uint64, err error) {
	if free, size, err = space(d.self); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return free, size, nil
}

func (d *directory) close() error { return errors.Join(d.self.Close(), d.root.Close()) }

// plainDirectory makes files by their paths, where nothing has to be read or listed:
// one may write into a directory that one may not list.
type plainDirectory string

func (d plainDirectory) path(name string) string { return filepath.Join(string(d), name) }

func (d plainDirectory) create(name string) (*os.File, error) {
	return os.OpenFile(d.path(name), createFlags, 0o600)
}

func (d plainDirectory) unnamed() (*os.File, error) { return openUnnamed(unix.AT_FDCWD, string(d)) }

func (d plainDirectory) link(f *os.File, name string) error {
	return linkUnnamed(f, unix.AT_FDCWD, d.path(name))
}

func (d plainDirectory) rename(from, to string) error {
	return renameNew(unix.AT_FDCWD, d.path(from), d.path(to))
}

func (d plainDirectory) remove(name string) error { return os.Remove(d.path(name)) }

func (d plainDirectory) lstat(name string) (fs.FileInfo, error) { return os.Lstat(d.path(name)) }

// renameNew renames a file to a name that must not exist (fs.ErrExist).
func renameNew(dir int, from, to string) error {
	err := renameExclusive(dir, from, to)
	if !isMissing(err) {
		return err
	}
	if err = unix.Linkat(dir, from, dir, to, 0); !isMissing(err) {
		if err == nil {
			_ = unix.Unlinkat(dir, from, 0) // where it stays, the next start finds it
		}
		return err
	}
	// A file system with neither. The name is taken first, so that nothing is
	// overwritten; only a process that is killed at this moment leaves it empty.
	fd, err := unix.Openat(dir, to, createFlags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	_ = unix.Close(fd)
	if err := unix.Renameat(dir, from, dir, to); err != nil {
		return errors.Join(err, unix.Unlinkat(dir, to, 0))
	}
	return nil
}

// isMissing reports whether err says that a file system, or the kernel, has no such
// thing.
func isMissing(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) ||
		errors.Is(err, unix.EMLINK)
}
