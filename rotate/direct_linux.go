package rotate

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// onePage asks for memory as one huge page (madvise(2)), where the system has one to
// give: each direct write looks up all pages that it is from.
func onePage(memory []byte) []byte {
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	return memory
}

// writeDirect appends whole pages at the file's end, by way of the Stage, with
// O_DIRECT (open(2)). Where the file system refuses that, it may be after a part of
// them, it returns what it has written, and no error. The flag is set for as long as
// it takes (fcntl(2), F_SETFL), so that one descriptor does for both ways of writing.
func (f *File) writeDirect(b []byte, end int64) (written int, err error) {
	if now := time.Now(); f.cached > 0 && now.Sub(f.sentAt) >= sendEvery { // does not wait for the disk
		err = unix.SyncFileRange(int(f.Fd()), f.sent, end-f.sent, unix.SYNC_FILE_RANGE_WRITE)
		f.sent, f.sentAt, f.cached = end, now, 0
	}
	flags := 0
	if err == nil {
		flags, err = unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	}
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
