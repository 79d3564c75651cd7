package capfile

import "io"

// lookahead is a stream whose next bytes can be looked at before they are taken. Unlike
// a bufio.Reader it moves what it holds only when that is at the end of its memory: to
// look far ahead again and again, a byte further each time, costs no more than to read.
type lookahead struct {
	in  io.Reader
	buf []byte
	off int // buf[off:end] is what comes next
	end int
	err error // why nothing more can be read
}

func newLookahead(in io.Reader, size int) *lookahead {
	return &lookahead{in: in, buf: make([]byte, size)}
}

// peek returns the next n bytes, which are valid until the next peek, or those that are
// left and the error of reading, io.EOF at the end.
func (l *lookahead) peek(n int) ([]byte, error) {
	if missing := n - (l.end - l.off); missing > 0 && l.err == nil {
		if l.off+n > len(l.buf) {
			l.makeRoom(n)
		}
		var got int
		got, l.err = io.ReadAtLeast(l.in, l.buf[l.end:], missing)
		l.end += got
		if l.err == io.ErrUnexpectedEOF {
			l.err = io.EOF
		}
	}
	if have := l.buf[l.off:l.end]; len(have) < n {
		return have, l.err
	}
	return l.buf[l.off : l.off+n], nil
}

// makeRoom moves what is there to the start of the memory, which has place for twice
// as much as is looked at: so the next time comes only after n more bytes.
func (l *lookahead) makeRoom(n int) {
	to := l.buf
	if len(to) < 2*n {
		to = make([]byte, 2*n)
	}
	l.end = copy(to, l.buf[l.off:l.end])
	l.off, l.buf = 0, to
}

// skip takes n bytes, or those that are left, and returns how many.
func (l *lookahead) skip(n int) int {
	b, _ := l.peek(n)
	l.off += len(b)
	return len(b)
}
