package rotate

import "golang.org/x/sys/unix"

// aheadPlenty is how much disk space has to be free for some of it to be set aside:
// others are not to run short of it meanwhile.
const aheadPlenty = 1 << 30

// allocate sets disk space aside behind the end of a file, which stays where it is
// (fallocate(2)).
func allocate(f *File, end, n int64) error {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return err
	}
	if s.Bavail*uint64(s.Bsize) < aheadPlenty {
		return unix.ENOSPC
	}
	for {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, end, n); err != unix.EINTR {
			return err
		}
	}
}
