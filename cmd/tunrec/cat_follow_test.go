package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/extract"
	"github.com/tunrec/tunrec/pcapng"
)

// captureOf is a plain capture file of a packet for each of the times, and 7
// packets that are said to be lost behind them.
func captureOf(t *testing.T, times ...int64) []byte {
	t.Helper()
	var f memoryFile
	w, err := capfile.NewWriter(&f, capfile.Config{Form: capfile.Plain, Section: pcapng.Section{Application: "tunrec test"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range times {
		c := &capfile.Chunk{Content: make([]byte, pcapng.PacketOverhead+20)}
		n := pcapng.PutPacket(c.Content, 20, 20, at)
		c.Content = c.Content[:n]
		c.Add(at, 20)
		c.Hash()
		if err := w.WriteChunk(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(capfile.End{Lost: 7}); err != nil {
		t.Fatal(err)
	}
	return f.Bytes()
}

// memoryFile is a capfile.File in memory.
type memoryFile struct{ bytes.Buffer }

func (m *memoryFile) Truncate(n int64) error { m.Buffer.Truncate(int(n)); return nil }

// TestFollowLooksOnce: of each file of a directory the index is read once, and
// files that come later are found. One that is open and has no packets yet waits
// for all others.
func TestFollowLooksOnce(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, file []byte) string {
		name = filepath.Join(dir, name+".pcapng")
		if err := os.WriteFile(name, file, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	second, first := put("a", captureOf(t, 300, 400)), put("b", captureOf(t, 100, 200))
	empty, lastIndexLen := captureOf(t), 60
	waiting := put("c", empty[:len(empty)-pcapng.StatisticsLen-lastIndexLen])
	lock, err := os.Open(waiting)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}

	var out memoryFile
	f := &follower{ctx: t.Context(), pick: extract.Everything, ui: newUI(true, false), seen: map[string]bool{}}
	f.bad.ui = f.ui
	if f.out, err = capfile.NewWriter(&out, capfile.Config{Form: capfile.Stream}); err != nil {
		t.Fatal(err)
	}
	next := func(want string) {
		t.Helper()
		l, err := f.next(dir)
		if err != nil || l == nil || l.Name != want {
			t.Fatalf("next is %+v, %v; want %s", l, err, want)
		}
		if want == waiting {
			return
		}
		// Who read the index now would not find it, nor what was lost.
		for _, name := range []string{first, second} {
			if err := os.Truncate(name, int64(len(captureOf(t, 1, 2)))-20); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.file(l); err != nil {
			t.Fatal(err)
		}
	}
	next(first)
	next(second)
	next(put("later", captureOf(t, 500)))
	next(waiting)
	if l, err := f.next(dir); l != nil || err != nil {
		t.Errorf("%+v, %v: every file was read", l, err)
	}
	if f.end.Counts.Dropped != 3*7 || f.end.Start != 100 || f.end.Stop != 500 || f.bad.n > 0 {
		t.Errorf("%+v, %d damages", f.end, f.bad.n)
	}
}

// TestFollowBegun: a named file of which not even the first packet is there, as
// programs leave it that write in large pieces, is waited for.
func TestFollowBegun(t *testing.T) {
	pcap, err := os.ReadFile("../../testdata/pcaps/dns.pcap")
	if err != nil {
		t.Fatal(err)
	}
	others, err := os.ReadFile("../../testdata/pcaps/tls.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	stream := captureOf(t)
	header := len(stream) - pcapng.StatisticsLen - 60 // without the last index block
	name := filepath.Join(t.TempDir(), "growing")
	put := func(b []byte) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, begun := range [][]byte{nil, pcap[:1], pcap[:3], others[:2], others[:30], stream[:header-1], stream[:header], stream[:header+3]} {
		put(begun)
		f := &follower{ctx: t.Context(), seen: map[string]bool{}}
		if l, err := f.next(name); l != nil || err != nil {
			t.Errorf("of %d bytes % x: %+v, %v", len(begun), begun[:min(len(begun), 4)], l, err)
		}
		put(pcap)
		if l, err := f.next(name); l == nil || err != nil {
			t.Errorf("%v, %v", l, err)
		}
	}
	put(pcap[:10])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &follower{ctx: ctx, seen: map[string]bool{}}
	if err := f.others(name); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}
