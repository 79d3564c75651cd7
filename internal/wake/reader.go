package wake

import (
	"io/fs"
	"os"
)

// Reader watches for the end of whoever reads a pipe or a socket, which shows without
// it with the next write only.
type Reader struct {
	*Waker
	fd int
}

// WatchReader returns a Reader of what is written to f; nil where that is no pipe and no
// socket.
func WatchReader(f *os.File) (*Reader, error) {
	info, err := f.Stat()
	if err != nil || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) == 0 {
		return nil, err
	}
	conn, err := f.SyscallConn() // Fd would make it blocking for all who share it
	if err != nil {
		return nil, err
	}
	r := &Reader{}
	if err := conn.Control(func(fd uintptr) { r.fd = int(fd) }); err != nil {
		return nil, err
	}
	r.Waker, err = New()
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Gone waits until nobody reads any more, or until Wake is called; it reports the former.
func (r *Reader) Gone() bool { return r.Waker.Gone(r.fd) }
