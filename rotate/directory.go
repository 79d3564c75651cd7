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

const createFlags = os.O_WRONLY | os.O_CREATE | os.O_EXCL | os.O_APPEND | syscall.O_NOFOLLOW

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

func (d *directory) unnamed() (*os.File, error) { return openUnnamed(d.self) }

func (d *directory) link(f *os.File, name string) (*os.File, error) {
	folder, err := d.root.Open(path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	// A copy of the descriptor, because an os.File keeps the name it began with.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	named := os.NewFile(uintptr(fd), d.shown(name))
	if err := linkUnnamed(f, folder, path.Base(name)); err != nil {
		return nil, errors.Join(&os.PathError{Op: "link", Path: named.Name(), Err: err}, named.Close())
	}
	return named, f.Close()
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
	return names, errors.Join(err, f.Close())
}

func (d *directory) sync(folder string) error {
	if folder == "." {
		return syncOpen(d.self)
	}
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(syncOpen(f), f.Close())
}

func (d *directory) free() (uint64, error) {
	n, err := freeBytes(d.self)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return n, nil
}

func (d *directory) close() error { return errors.Join(d.self.Close(), d.root.Close()) }
