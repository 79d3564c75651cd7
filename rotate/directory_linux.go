package rotate

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openUnnamed uses O_TMPFILE (open(2)). Kernels and file systems that do not
// know it take it for an attempt to write into a directory.
func openUnnamed(dir int, path string) (*os.File, error) {
	const flags = unix.O_TMPFILE | unix.O_RDWR | unix.O_APPEND | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, path, flags, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		return nil, errUnnamed
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// linkUnnamed goes through /proc, which needs no privilege, and where that is
// not mounted by the descriptor alone.
func linkUnnamed(f *os.File, dir int, path string) error {
	fd := int(f.Fd())
	err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), dir, path, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.ENOENT) {
		err = unix.Linkat(fd, "", dir, path, unix.AT_EMPTY_PATH)
	}
	return err
}

// renameExclusive renames to a name that must not exist (renameat2(2)).
func renameExclusive(dir int, from, to string) error {
	return unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE)
}

// space is what this process may still write, and might if nothing but the system's
// own reserve were taken.
func space(dir *os.File) (free, size uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, 0, err
	}
	unit := uint64(st.Frsize)
	return st.Bavail * unit, (st.Bavail + st.Blocks - st.Bfree) * unit, nil
}
