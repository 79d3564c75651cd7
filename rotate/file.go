// Package rotate is about the files of a recording: how they are named, made
// and ended.
package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
}

// File is a capture file that is being written. Writes append.
type File struct {
	*os.File
}

// Create makes a new file that only its owner can read and write (0600). It
// follows no link in the last part of the name and never opens what exists.
// The entry in the directory is synced. On an error nothing is left behind.
func Create(name string, o CreateOptions) (*File, error) {
	if o.Force {
		if err := removeRegular(name); err != nil {
			return nil, err
		}
	}
	// O_APPEND: after a failed write the file is cut back, and what is
	// written next has to go where it ends then.
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL | os.O_APPEND | syscall.O_NOFOLLOW
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := own(f, o.Owner); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(name))
	}
	return &File{f}, nil
}

func own(f *os.File, o Owner) error {
	if o.Set {
		if err := f.Chown(o.UID, o.GID); err != nil {
			return err
		}
	}
	return SyncDir(filepath.Dir(f.Name()))
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
		return fmt.Errorf("%s is not a regular file: it is not overwritten", name)
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
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // this file system keeps its directories in another way
	}
	return errors.Join(err, d.Close())
}

// Discard closes the file and removes it.
func (f *File) Discard() error {
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
