package replay

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/tunrec/tunrec/internal/wake"
)

// live reads a pipe, a FIFO, a socket or a terminal, which may say nothing for
// hours. poll(2) tells whether a read would block; the descriptor itself stays
// as it is, as standard input may be shared with other processes.
type live struct {
	file    *os.File
	fd      int
	patient bool // Read waits until there is something, or to be woken
	*wake.Waker
}

// isLive tells whether a read from f may have to wait for somebody.
func isLive(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeCharDevice) != 0
}

// newLive returns a patient live, which does not own f.
func newLive(f *os.File) (*live, error) {
	fd, err := descriptor(f)
	if err != nil {
		return nil, err
	}
	w, err := wake.New()
	if err != nil {
		return nil, err
	}
	return &live{file: f, fd: fd, patient: true, Waker: w}, nil
}

// descriptor is f.Fd, which would also make f blocking for all who share it.
func descriptor(f *os.File) (fd int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	err = conn.Control(func(p uintptr) { fd = int(p) })
	return fd, err
}

// Read returns os.ErrDeadlineExceeded where there is nothing; a patient one
// only when it is woken.
func (l *live) Read(b []byte) (int, error) {
	ready, err := l.Ready(l.fd)
	for l.patient && !ready && err == nil {
		var woken bool
		if ready, woken, err = l.Wait(l.fd, -1); woken {
			l.Wake() // the next wait is to end, too
			return 0, os.ErrDeadlineExceeded
		}
	}
	if err != nil {
		return 0, err
	}
	if !ready {
		return 0, os.ErrDeadlineExceeded
	}
	return l.file.Read(b)
}

// wait blocks until Read may have something, for the timeout (negative: no
// timeout), or until it is woken. It may return early.
func (l *live) wait(timeout time.Duration) error {
	_, _, err := l.Wait(l.fd, timeout)
	return err
}

func (l *live) close() error { return l.Waker.Close() }

// pump decompresses a live stream in a goroutine of its own and passes it on
// through a pipe, as zstd -dc in front of us would: a decoder cannot stop in a
// block whose rest has not come yet and go on later, so it must be let wait.
type pump struct {
	*live // the pipe's end
	from  *live
	done  chan struct{} // closed when the goroutine has ended
	err   error         // of the decoder; valid after done
}

func startPump(decoder io.Reader, from *live) (*pump, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, err := newLive(r)
	if err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	p := &pump{live: out, from: from, done: make(chan struct{})}
	go func() {
		_, p.err = io.Copy(w, decoder)
		close(p.done)
		w.Close()
	}()
	return p, nil
}

// Read is that of live, and ends with the error of the decoder.
func (p *pump) Read(b []byte) (int, error) {
	n, err := p.live.Read(b)
	if err == io.EOF {
		<-p.done
		if p.err != nil {
			err = p.err
		}
	}
	return n, err
}

// close ends the goroutine, be it reading or writing.
func (p *pump) close() error {
	err := p.file.Close()
	p.from.Wake()
	<-p.done
	return errors.Join(err, p.live.close(), p.from.close())
}
