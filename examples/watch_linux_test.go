package examples

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// folder tells what happens to the files of a folder: inotify(7).
type folder struct {
	f       *os.File
	pending []byte
}

func watchFolder(t *testing.T, dir string) *folder {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	must(t, err)
	f := os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { f.Close() })
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_CLOSE_WRITE)
	must(t, err)
	return &folder{f: f}
}

// await waits for the next event of a kind; it passes over others.
func (w *folder) await(t *testing.T, kind uint32) {
	t.Helper()
	for {
		if len(w.pending) == 0 {
			b := make([]byte, 4096)
			n, err := w.f.Read(b)
			must(t, err)
			w.pending = b[:n]
		}
		mask := binary.NativeEndian.Uint32(w.pending[4:])
		nameLen := binary.NativeEndian.Uint32(w.pending[12:])
		w.pending = w.pending[unix.SizeofInotifyEvent+nameLen:]
		if mask&kind != 0 {
			return
		}
	}
}
