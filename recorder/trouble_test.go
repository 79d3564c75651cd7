package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/rotate"
)

// TestTroubleIsToldOnce: not for every try, whose error may name another file.
func TestTroubleIsToldOnce(t *testing.T) {
	var told []any
	all := newTroubles(func(e any) { told = append(told, e) })
	full := func(name string) error {
		return fmt.Errorf("write: %w", &fs.PathError{Op: "write", Path: name, Err: syscall.ENOSPC})
	}
	broken := errors.New("broken")
	all.over(DoingWrite)
	all.begin(DoingWrite, full("a"))
	all.begin(DoingWrite, full("b"))
	all.begin(DoingSync, broken)
	all.begin(DoingWrite, broken)
	all.over(DoingWrite)
	all.over(DoingWrite)
	all.begin(DoingWrite, broken)
	want := []any{Trouble{DoingWrite, told[0].(Trouble).Err}, Trouble{DoingSync, broken}, Trouble{DoingWrite, broken},
		Recovered{DoingWrite}, Trouble{DoingWrite, broken}}
	if !slices.Equal(told, want) {
		t.Errorf("told: %v\nwant: %v", told, want)
	}
}

// waitRecorded waits until so many packets are in files.
func waitRecorded(r *Recorder, n uint64) {
	for r.Stats().Recorded < n {
		time.Sleep(time.Millisecond)
	}
}

// TestHarmedFile has somebody else do something to the file that is being written: it
// is told, a series goes on in another file, and one file ends the recording.
func TestHarmedFile(t *testing.T) {
	for what, harm := range map[string]func(name string) error{
		"remove":   os.Remove,
		"truncate": func(name string) error { return os.Truncate(name, 100) },
		"append": func(name string) error {
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.WriteString("mine")
				f.Close()
			}
			return err
		},
		"replace": func(name string) error {
			other := filepath.Join(filepath.Dir(name), "other")
			return errors.Join(os.WriteFile(other, nil, 0o600), os.Rename(other, name))
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSeries(t, rotate.Policy{FileBytes: 1 << 30})
			s.config.Patient, s.config.FlushInterval, s.config.DrainMax = false, time.Millisecond, 1000
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r, wait := s.start(t, ctx)
			s.src.push(numbered(0, 10)...)
			waitRecorded(r, 10)
			names, err := filepath.Glob(filepath.Join(s.dir, "cap_*"))
			if err != nil || len(names) != 1 {
				t.Fatal(names, err)
			}
			if err := harm(names[0]); err != nil {
				t.Fatal(err)
			}
			s.src.push(numbered(10, 5)...)
			waitRecorded(r, 15)
			cancel()
			if err := wait(); !errors.Is(err, ErrHarmed) || !strings.HasPrefix(err.Error(), names[0]+" was ") {
				t.Fatalf("the recording ended with %v", err)
			}
			if i := slices.IndexFunc(s.events, func(e any) bool { h, ok := e.(FileHarmed); return ok && h.Packets == 10 && h.Name == names[0] }); i < 0 {
				t.Errorf("not told: %v", s.events)
			}
			os.Remove(names[0]) // where it is still there
			got := joinPackets(readSeries(t, s.dir))
			checkPackets(t, got, numbered(10, 5))
			if st := r.Stats(); st.Lost() != 0 {
				t.Errorf("counts: %+v", st)
			}
		})
	}
}

func TestHarmedAtTheEnd(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.pcapng.zst")
	f, err := rotate.Create(name, rotate.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var told []any
	sink, err := NewFileSink(FilesConfig{File: f, Event: func(e any) { told = append(told, e) }})
	if err != nil {
		t.Fatal(err)
	}
	src := newFakeSource()
	src.push(numbered(0, 10)...)
	r := newRecorder(t, Config{Source: src, Sink: sink, FlushInterval: time.Millisecond, Method: capfile.Fastest})
	wait := run(t, r, context.Background())
	waitRecorded(r, 10)
	if err := os.Truncate(name, 50); err != nil {
		t.Fatal(err)
	}
	src.finish(errors.New("end"))
	if err := wait(); !errors.Is(err, ErrHarmed) {
		t.Fatalf("the recording ended with %v", err)
	}
	if info, err := os.Stat(name); err != nil || info.Size() != 50 {
		t.Errorf("something was written behind the cut: %v, %v", info.Size(), err)
	}
}

// lose takes the directory of a series away and has its recording notice.
func lose(t *testing.T, s *series) {
	t.Helper()
	for os.RemoveAll(s.dir) != nil { // a file was made in between
	}
	s.src.push(numbered(10, 100)...)
	s.waitFor(func(e any) bool { w, ok := e.(Trouble); return ok && w.Doing == DoingWrite })
}

// TestLastTry: what can be written again when the recording is stopped is written.
func TestLastTry(t *testing.T) {
	s := newSeries(t, rotate.Policy{Packets: 10})
	s.config.Patient, s.config.FlushInterval, s.config.DrainMax = false, time.Millisecond, 1000
	ctx, cancel := context.WithCancel(context.Background())
	r, wait := s.start(t, ctx)
	s.src.push(numbered(0, 10)...)
	s.waitFor(func(e any) bool { _, ok := e.(FileClosed); return ok })
	lose(t, s)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	checkPackets(t, joinPackets(readSeries(t, s.dir)), numbered(10, 100))
	if st := r.Stats(); st.Lost() != 0 {
		t.Errorf("counts: %+v", st)
	}
}

// TestLossesReachAFile: what is lost between the last file and the stop gets a file of
// its own; where that cannot be made, it is said.
func TestLossesReachAFile(t *testing.T) {
	for _, gone := range []bool{false, true} {
		s := newSeries(t, rotate.Policy{Packets: 10})
		s.config.Patient, s.config.FlushInterval, s.config.DrainMax = false, time.Millisecond, 1000
		ctx, cancel := context.WithCancel(context.Background())
		r, wait := s.start(t, ctx)
		s.src.push(numbered(0, 10)...)
		s.waitFor(func(e any) bool { _, ok := e.(FileClosed); return ok })
		lost := uint64(7)
		if gone {
			lose(t, s)
			lost += 100
		}
		s.src.mu.Lock()
		s.src.drops = 7
		s.src.mu.Unlock()
		cancel()
		if err := wait(); (err != nil) != gone {
			t.Fatal(err)
		}
		if st := r.Stats(); st.Lost() != lost {
			t.Fatalf("counts: %+v", st)
		}
		if gone {
			if !slices.Contains(s.events, any(Unplaced{lost})) {
				t.Errorf("not told: %v", s.events)
			}
			continue
		}
		names, _ := filepath.Glob(filepath.Join(s.dir, "cap_00002*"))
		if len(names) != 1 {
			t.Fatal("there is no file for the losses")
		}
		f, err := os.Open(names[0])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		c, err := capfile.NewReader(f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		if i := c.Info(); i.Packets != 0 || i.Statistics.Dropped != lost || i.Damage != nil {
			t.Errorf("the file says %+v", i)
		}
	}
}
