package rotate

import (
	"io/fs"
	"os"
)

// maker makes files in one directory. Names are relative to it, with slashes.
type maker interface {
	// create makes a file that must not exist (fs.ErrExist) and opens it for
	// reading and appending.
	create(name string) (*os.File, error)
	// unnamed opens a new file for reading and appending that has no name yet, and
	// is gone when it is closed without one. errors.ErrUnsupported: there is no
	// such thing here.
	unnamed() (*os.File, error)
	// link gives an unnamed file a name that must not exist (fs.ErrExist).
	link(f *os.File, name string) error
	// rename gives a file another name in its folder, which must not exist
	// (fs.ErrExist).
	rename(from, to string) error
	// remove removes a file or an empty folder.
	remove(name string) error
	lstat(name string) (fs.FileInfo, error)
}

// filesystem is what a series asks of the directory that it stands in. Methods may
// be called from several goroutines.
type filesystem interface {
	maker
	mkdir(name string) error
	chown(name string, uid, gid int) error
	// open opens a file for reading, and never waits for one.
	open(name string) (*os.File, error)
	// list returns the names in a folder, in no order.
	list(folder string) ([]string, error)
	// sync makes what was made in or removed from a folder last.
	sync(folder string) error
	// space is how many bytes this process may still write, and how many it might
	// if the file system held no files.
	space() (free, size uint64, err error)
	close() error
}
