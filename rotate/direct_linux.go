package rotate

import (
	"errors"

	"golang.org/x/sys/unix"
)

// askHuge asks for memory to be a huge page (madvise(2)); the system may have none.
// Each direct write looks up all pages that it is from.
func askHuge(memory []byte) { _ = unix.Madvise(memory, unix.MADV_HUGEPAGE) }

// send sends what the page cache has of the file to the disk, and does not wait for it
// (sync_file_range(2)). The system would do so some 30 s later. It is called beside
// everything else, after Close, too.
func (f *File) send() {
	f.sending.Store(false)
	f.cached.Store(0)
	conn, err := f.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = conn.Control(func(fd uintptr) { _ = unix.SyncFileRange(int(fd), 0, 0, unix.SYNC_FILE_RANGE_WRITE) })
}

// writeDirect appends whole pages at the file's end, by way of the Stage, with
// O_DIRECT (open(2)). Where the file system refuses that, it may be after a part of
// them, it returns what it has written, and no error. The flag is set for as long as
// it takes (fcntl(2), F_SETFL), so that one descriptor does for both ways of writing.
func (f *File) writeDirect(b []byte) (written int, err error) {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_DIRECT)
	}
	if err != nil {
		f.noDirect = true
		return 0, nil
	}
	for err == nil && written < len(b) {
		n := copy(f.Stage.memory, b[written:])
		n, err = f.File.Write(f.Stage.memory[:n])
		written += n
	}
	if errors.Is(err, unix.EINVAL) {
		f.noDirect, err = true, nil
	}
	if _, unset := unix.FcntlInt(f.Fd(), unix.F_SETFL, flags); err == nil {
		err = unset
	}
	return written, err
}
