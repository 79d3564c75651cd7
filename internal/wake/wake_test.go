//go:build unix

package wake

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newWaker(t testing.TB) *Waker {
	t.Helper()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// TestWakeDuringAWait calls Wake at the one moment that matters: when a wait has seen a
// wake-up, and before it has taken it. The next Wake has to end a wait all the same.
func TestWakeDuringAWait(t *testing.T) {
	w := newWaker(t)
	w.Wake()
	fds := make([]unix.PollFd, 1)
	woken, err := w.Poll(fds, -1, func(fds []unix.PollFd, ms int) (int, error) {
		n, err := unix.Poll(fds, ms)
		w.Wake()
		return n, err
	})
	if !woken || err != nil {
		t.Fatal(woken, err)
	}
	for range 3 {
		w.Wake()
		if _, woken, err := w.Wait(-1, -1); !woken || err != nil {
			t.Fatal(woken, err)
		}
	}
	if _, woken, err := w.Wait(-1, 0); woken || err != nil {
		t.Fatalf("one wait has not used up all wake-ups: %v", err)
	}
}

// TestHammer has many wake while one waits, each time for ever.
func TestHammer(t *testing.T) {
	w := newWaker(t)
	stop := make(chan struct{})
	for range 4 {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					w.Wake()
				}
			}
		}()
	}
	for range 100_000 {
		if _, woken, err := w.Wait(-1, -1); !woken || err != nil {
			t.Fatal(woken, err)
		}
	}
	close(stop)
}

func TestInterruptedPoll(t *testing.T) {
	w := newWaker(t)
	calls := 0
	woken, err := w.Poll(make([]unix.PollFd, 1), time.Hour, func(fds []unix.PollFd, ms int) (int, error) {
		if calls++; calls < 3 {
			return -1, unix.EINTR
		}
		return 0, nil
	})
	if woken || err != nil || calls != 3 {
		t.Error(woken, err, calls)
	}
	if _, err := w.Poll(make([]unix.PollFd, 1), -1, func([]unix.PollFd, int) (int, error) { return -1, unix.EFAULT }); err == nil {
		t.Error("an error of poll is not returned")
	}
}

func TestAfterClose(t *testing.T) {
	w := newWaker(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.Wake()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestGone closes the reading end of everything that one can write to while nobody
// writes.
func TestGone(t *testing.T) {
	ends := map[string]func() (r, w *os.File){
		"pipe": func() (r, w *os.File) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return r, w
		},
		"FIFO": func() (r, w *os.File) {
			name := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(name, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			w, err = os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			return r, w
		},
		"socket": func() (r, w *os.File) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			return os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
		},
	}
	for name, open := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWaker(t)
			ours, theirs := open()
			defer theirs.Close()
			fd := int(theirs.Fd())
			w.Wake()
			if w.Gone(fd) || HungUp(fd) {
				t.Fatal("the reader is there")
			}
			gone := make(chan bool)
			go func() { gone <- w.Gone(fd) }()
			ours.Close()
			if !<-gone || !HungUp(fd) {
				t.Error("the reader has gone")
			}
			w.Wake()
			if !w.Gone(fd) {
				t.Error("woken by somebody who has met the error, it does not say so")
			}
		})
	}
}

// TestGoneInVain: what poll(2) refuses is not taken for an end, and ends the watch.
func TestGoneInVain(t *testing.T) {
	w := newWaker(t)
	r, closed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := int(closed.Fd())
	closed.Close()
	if w.Gone(fd) || HungUp(fd) {
		t.Error("a descriptor that cannot be polled counts as one whose other end has gone")
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]int{
		-1: -1, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2,
		math.MaxInt64: math.MaxInt32,
	} {
		if got := millis(d); got != want {
			t.Errorf("%v: %d, not %d", d, got, want)
		}
	}
}
