package main

import (
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// stoppedCounts are those of the "stopped" event of --json.
type stoppedCounts struct {
	Received       uint64 `json:"received"`
	Recorded       uint64 `json:"recorded"`
	Filtered       uint64 `json:"filtered"`
	DroppedByQueue uint64 `json:"dropped_by_queue"`
	Exact          bool   `json:"dropped_by_queue_exact"`
	AfterStop      uint64 `json:"after_stop"`
}

// lastEvent decodes the last event of that name that was printed.
func lastEvent(t testing.TB, s *session, name string, to any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(s.stdout.String()), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.Contains(lines[i], `"event":"`+name+`"`) {
			if err := json.Unmarshal([]byte(lines[i]), to); err != nil {
				t.Fatalf("%s: %v", lines[i], err)
			}
			return
		}
	}
	t.Fatalf("no event %s in:\n%s", name, &s.stdout)
}

// TestNothingIsLostAtStop stops recordings while packets are sent until the route
// is gone: each packet that was sent is recorded or counted.
func TestNothingIsLostAtStop(t *testing.T) {
	for _, ingest := range []string{"ring", "read"} {
		t.Run(ingest, func(t *testing.T) {
			mustIsolate(t)
			for range 5 {
				stopUnderFire(t, ingest)
			}
		})
	}
}

func stopUnderFire(t *testing.T, ingest string) {
	t.Helper()
	s, file := begin(t, "--json", "--ingest", ingest)
	const senders = 2
	var sent atomic.Uint64
	var sending, atWork sync.WaitGroup
	atWork.Add(senders)
	for range senders {
		conn, err := net.Dial("udp", "10.1.0.20:9") // here: this thread is in the namespace
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sending.Go(func() {
			for i := 0; ; i++ {
				if i == 1000 {
					atWork.Done()
				}
				_, err := conn.Write([]byte("until the route is gone"))
				switch {
				case err == nil, errors.Is(err, unix.ENETDOWN): // of which the device has counted the packet
					sent.Add(1)
				case errors.Is(err, unix.ENETUNREACH):
					return
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	atWork.Wait()
	if err := s.signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := s.wait(); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v:\n%s", code, err, &s.stderr)
	}
	sending.Wait()
	var c stoppedCounts
	lastEvent(t, s, "stopped", &c)
	if got := c.Recorded + c.DroppedByQueue + c.AfterStop; got != sent.Load() || !c.Exact {
		t.Errorf("sent %d packets, which the counts miss by %d: %+v", sent.Load(), int64(sent.Load()-got), c)
	}
	if n, err := judges["capinfos"](file); err != nil || uint64(n) != c.Recorded {
		t.Errorf("%d packets in the file, %v, recorded %d", n, err, c.Recorded)
	}
}

// TestShortenedQueue: packets that somebody has the kernel throw away are in no
// count, and the recording says so.
func TestShortenedQueue(t *testing.T) {
	mustIsolate(t)
	s, _ := begin(t, "--json", "--ingest", "read", "-i", "tunq")
	if err := s.signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitStopped(t, s.cmd.Process.Pid)
	conn, err := net.Dial("udp", "10.1.0.20:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 1000 {
		if _, err := conn.Write([]byte("waits")); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"10", "10000"} { // nobody looks in between
		if out, err := exec.Command("ip", "link", "set", "tunq", "txqueuelen", n).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := s.signal(unix.SIGTERM, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code, err := s.wait(); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v:\n%s", code, err, &s.stderr)
	}
	var c stoppedCounts
	lastEvent(t, s, "stopped", &c)
	if c.Recorded != 10 || c.Exact {
		t.Errorf("counts: %+v", c)
	}
	const why = "its queue was shortened from 10000 to 10 packets (txqueuelen)"
	if said := s.stderr.String(); strings.Count(said, why) != 1 || !strings.Contains(said, "; at least 0 dropped by the kernel") {
		t.Errorf("it says:\n%s", said)
	}
	var e struct{ Reason string }
	if lastEvent(t, s, "drops_inexact", &e); e.Reason != why {
		t.Errorf("reason %q", e.Reason)
	}
}
