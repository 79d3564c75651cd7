package outlet

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// gate is a reader who reads only when told.
type gate struct {
	mu   sync.Mutex
	text strings.Builder
	open chan struct{}
	in   chan struct{} // a write has begun
}

func newGate() *gate { return &gate{open: make(chan struct{}), in: make(chan struct{}, 1)} }

func (g *gate) Write(b []byte) (int, error) {
	select {
	case g.in <- struct{}{}:
	default:
	}
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(b)
}

func (g *gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func missed(n uint64) string { return fmt.Sprintf("%d messages were not shown\n", n) }

func TestSendNeverWaits(t *testing.T) {
	g := newGate()
	o := New(g, missed)
	o.Start()
	o.Send("first\n")
	<-g.in // the goroutine is in a write that does not end
	for i := range MaxMessages + 12 {
		o.Send(fmt.Sprintln(i))
	}
	if n := o.Lost(); n != 12 {
		t.Errorf("%d messages are lost, want 12", n)
	}
	o.Insist("last\n")
	if o.Flush(10*time.Millisecond, time.Minute) {
		t.Error("Flush says that all was written")
	}
	close(g.open)
	if !o.Flush(time.Minute, time.Minute) {
		t.Fatal("Flush says that not all was written")
	}
	got := g.String()
	want := fmt.Sprintf("%d\n12 messages were not shown\nlast\n", MaxMessages-1)
	if !strings.HasPrefix(got, "first\n0\n1\n") || !strings.HasSuffix(got, want) {
		t.Errorf("written were %q … %q, want the end %q", got[:20], got[len(got)-60:], want)
	}
	if n := o.Lost(); n != 12 {
		t.Errorf("%d messages are lost at the end, want 12", n)
	}
}

func TestBytesAreBounded(t *testing.T) {
	g := newGate()
	o := New(g, missed)
	o.Start()
	long := strings.Repeat("x", MaxBytes/4-1) + "\n"
	for range 6 {
		o.Send(long)
	}
	// One may be with the writer, and counts all the same.
	if n := o.Lost(); n != 2 {
		t.Errorf("%d messages are lost, want 2", n)
	}
	close(g.open)
	if !o.Flush(time.Minute, time.Minute) || !strings.HasSuffix(g.String(), "2 messages were not shown\n") {
		t.Errorf("the loss is not told when nothing comes after it: …%q", g.String()[len(g.String())-40:])
	}
}

func TestStatusIsBelowMessages(t *testing.T) {
	for _, async := range []bool{false, true} {
		g := newGate()
		close(g.open)
		o := New(g, nil)
		if async {
			o.Start()
		}
		flush := func() {
			if !o.Flush(time.Minute, time.Minute) {
				t.Fatal("not written")
			}
		}
		status := func(text string) {
			o.Status(text)
			for async { // a status is written after all messages: until it is taken
				o.mu.Lock()
				taken := o.status == nil
				o.mu.Unlock()
				if taken {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
		status("1 packet")
		flush()
		o.Send("message\n")
		flush()
		status("2 packets")
		flush()
		status("")
		flush()
		want := clearLine + "1 packet" + clearLine + "message\n" + clearLine + "2 packets" + clearLine
		if got := g.String(); got != want {
			t.Errorf("async %v: written %q, want %q", async, got, want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestErrorsAreCounted(t *testing.T) {
	o := New(broken{}, missed)
	o.Send("one\n")
	o.Start()
	o.Send("two\n")
	o.Flush(time.Minute, time.Minute)
	if n := o.Lost(); n != 2 {
		t.Errorf("%d messages are lost, want 2", n)
	}
}
