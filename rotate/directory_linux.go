package rotate

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openUnnamed uses O_TMPFILE (open(2)). Kernels and file systems that do not
// know it take it for an attempt to write into a directory.
func openUnnamed(dir *os.File) (*os.File, error) {
	const flags = unix.O_TMPFILE | unix.O_WRONLY | unix.O_APPEND | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), ".", flags, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		return nil, errUnnamed
	}
	if err != nil {
		return nil, &os.PathError{Op: "open a new file in", Path: dir.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), dir.Name()), nil
}

// linkUnnamed goes through /proc, which needs no privilege, and where that is
// not mounted by the descriptor alone.
func linkUnnamed(f, folder *os.File, base string) error {
	return linkFile(int(f.Fd()), int(folder.Fd()), base)
}

func linkFile(fd, dir int, base string) error {
	err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), dir, base, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.ENOENT) {
		err = unix.Linkat(fd, "", dir, base, unix.AT_EMPTY_PATH)
	}
	return err
}

func freeBytes(dir *os.File) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Frsize), nil
}
