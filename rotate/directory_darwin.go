package rotate

import (
	"os"

	"golang.org/x/sys/unix"
)

func openUnnamed(int, string) (*os.File, error) { return nil, errUnnamed }

func linkUnnamed(*os.File, int, string) error { return errUnnamed }

// renameExclusive renames to a name that must not exist (renameatx_np(2)).
func renameExclusive(dir int, from, to string) error {
	return unix.RenameatxNp(dir, from, dir, to, unix.RENAME_EXCL)
}

// space is what this process may still write, and might if nothing but the system's
// own reserve were taken.
func space(dir *os.File) (free, size uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, 0, err
	}
	unit := uint64(st.Bsize)
	return st.Bavail * unit, (st.Bavail + st.Blocks - st.Bfree) * unit, nil
}
