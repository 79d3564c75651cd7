package rotate

import (
	"os"

	"golang.org/x/sys/unix"
)

func openUnnamed(*os.File) (*os.File, error) { return nil, errUnnamed }

func linkUnnamed(_, _ *os.File, _ string) error { return errUnnamed }

func freeBytes(dir *os.File) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
