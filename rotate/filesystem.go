package rotate

import (
	"io/fs"
	"os"
)

// filesystem is what a series asks of the directory that it stands in. Names
// are relative to that directory, with slashes. Methods may be called from
// several goroutines.
type filesystem interface {
	// create makes a file that must not exist (fs.ErrExist) and opens it for
	// appending.
	create(name string) (*os.File, error)
	// unnamed opens a new file for appending that has no name yet, and is gone
	// when it is closed without one. errors.ErrUnsupported: there is no such
	// thing here.
	unnamed() (*os.File, error)
	// link gives an unnamed file a name that must not exist (fs.ErrExist) and
	// returns it under that name. f is closed then; on an error it is not.
	link(f *os.File, name string) (*os.File, error)

	mkdir(name string) error
	chown(name string, uid, gid int) error
	// remove removes a file or an empty folder.
	remove(name string) error
	lstat(name string) (fs.FileInfo, error)
	// open opens a file for reading.
	open(name string) (*os.File, error)
	// list returns the names in a folder, in no order.
	list(folder string) ([]string, error)
	// sync makes what was made in or removed from a folder last.
	sync(folder string) error
	// free is how many bytes this process may still write.
	free() (uint64, error)
	close() error
}
