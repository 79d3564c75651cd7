package rotate

import "golang.org/x/sys/unix"

// allocate sets disk space aside behind the end of a file, which stays where it is
// (fallocate(2)).
func allocate(f *File, end, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, end, n)
}
