package rotate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestNextNumbersGoOn(t *testing.T) {
	dir := t.TempDir()
	prefix := filepath.Join(dir, "capture")
	s := open(t, prefix, Policy{})
	record(t, s, 2, 50)
	want := []string{"capture_00001_20261122161200.pcapng.zst", "capture_00002_20261122161300.pcapng.zst"}
	wantFiles(t, dir, slices.Clone(want)...)

	// Another order of the name and another series beside it.
	put(t, filepath.Join(dir, "capture_20261122161500_00007.pcapng.zst"), string(content(start, start, 50)))
	put(t, filepath.Join(dir, "capture_00009_20261122161500.pcapng.zst"), "not ours")
	put(t, filepath.Join(dir, "capture_eth0_00009_20261122161500.pcapng.zst"), string(content(start, start, 50)))
	f := next(t, open(t, prefix, Policy{}), start)
	if want := prefix + "_00008_20261122161200.pcapng.zst"; f.Name() != want {
		t.Errorf("after a restart: %s, want %s", f.Name(), want)
	}
}

func TestNextNeverTakesWhatExists(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "c"), Policy{})
	taken := filepath.Join(dir, "c_00001_20261122161200.pcapng.zst")
	link := filepath.Join(dir, "c_00002_20261122161200.pcapng.zst")
	put(t, taken, "mine")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, prepared := range []bool{true, false} {
		if prepared {
			if err := s.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
		f := next(t, s, start)
		if f.Name() == taken || f.Name() == link {
			t.Errorf("prepared %t: %s was there already", prepared, f.Name())
		}
	}
	if text, err := os.ReadFile(taken); string(text) != "mine" || err != nil {
		t.Errorf("%s now holds %q (%v)", taken, text, err)
	}
	wantFiles(t, dir, taken, link, "c_00003_20261122161200.pcapng.zst", "c_00004_20261122161200.pcapng.zst")
}

func TestFilesOfASeries(t *testing.T) {
	for _, prepared := range []bool{true, false} {
		dir := t.TempDir()
		s, err := OpenSeries(Config{Name: dir + "/%Y/%m/c%S", Suffix: testSuffix,
			Owner: Owner{Set: true, UID: 12345, GID: 12346}, Inspect: inspect})
		if err != nil {
			t.Fatal(err)
		}
		if prepared {
			if err := s.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
		f := next(t, s, start)
		if want := filepath.Join(dir, "2026/11/c00.pcapng.zst"); f.Name() != want || f.File.Name() != want {
			t.Errorf("names %s and %s, want %s", f.Name(), f.File.Name(), want)
		}
		for name, mode := range map[string]fs.FileMode{"2026": 0o700, "2026/11": 0o700, "2026/11/c00.pcapng.zst": 0o600} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			owner := info.Sys().(*syscall.Stat_t)
			if info.Mode().Perm() != mode || owner.Uid != 12345 || owner.Gid != 12346 {
				t.Errorf("prepared %t: %s has mode %o and owner %d:%d", prepared, name, info.Mode(), owner.Uid, owner.Gid)
			}
		}
		checkOpenFile(t, f)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// checkOpenFile: writes append, others find the file locked, until it is closed.
func checkOpenFile(t *testing.T, f *File) {
	t.Helper()
	if _, err := f.Write([]byte("abcdef")); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(3); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("xyz")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(f.Name()); string(text) != "abcxyz" || err != nil {
		t.Errorf("%s holds %q (%v), want abcxyz", f.Name(), text, err)
	}
	other, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := tryLock(other, syscall.LOCK_SH); !errors.Is(err, errLocked) {
		t.Errorf("lock of an open file: %v, want %v", err, errLocked)
	}
	f.Close()
	if err := tryLock(other, syscall.LOCK_SH); err != nil {
		t.Errorf("lock of a closed file: %v", err)
	}
}

func TestCreate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "one.pcapng")
	f, err := Create(name, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	checkOpenFile(t, f)
	if _, err := Create(name, CreateOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second one: %v", err)
	}
	f, err = Create(name, CreateOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Discard: %v", err)
	}
}

func TestPatternSeries(t *testing.T) {
	dir := t.TempDir()
	name := dir + "/day/%Y-%m-%d/%H"
	if _, err := OpenSeries(Config{Name: name, Inspect: inspect}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("plain directory missing: %v", err)
	}
	if err := os.Mkdir(dir+"/day", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSeries(Config{Name: name, Policy: Policy{Interval: 30 * time.Minute}}); err == nil ||
		!strings.Contains(err.Error(), "30m0s apart (interval) alike") {
		t.Errorf("names that collide: %v", err)
	}
	s := open(t, name, Policy{})
	record(t, s, 3, 50)
	complete(t, s, next(t, s, start.Add(time.Hour)), start, 50)
	record(t, open(t, name, Policy{}), 1, 50)
	wantFiles(t, dir, "day/2026-11-22/16.pcapng.zst", "day/2026-11-22/16_2.pcapng.zst", "day/2026-11-22/16_3.pcapng.zst",
		"day/2026-11-22/17.pcapng.zst", "day/2026-11-22/16_4.pcapng.zst")

	// Going back to an earlier hour takes no name twice, and a discarded file none at all.
	f := next(t, s, start)
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
	s.Discarded(f)
	g := next(t, s, start)
	if filepath.Base(f.Name()) != "16_5.pcapng.zst" || filepath.Base(g.Name()) != "16_5.pcapng.zst" {
		t.Errorf("then %s and %s", f.Name(), g.Name())
	}
}

// TestPatternFoldersOfOthers: a link or a file that is called like a folder of
// the pattern is left alone, whatever it leads to.
func TestPatternFoldersOfOthers(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put(t, outside+"/16.pcapng.zst", string(content(start, start, 50)))
	put(t, dir+"/2024", "")
	if err := errors.Join(os.Symlink(outside, dir+"/2025"), os.Symlink("nowhere", dir+"/2023")); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir+"/%Y/%H", Policy{Packets: 1, Files: 1})
	names := record(t, s, 2, 50)
	if _, err := s.Retain(start, 0, false); err != nil {
		t.Error(err)
	}
	wantFiles(t, outside, "16.pcapng.zst")
	wantFiles(t, dir, "2023", "2024", "2025", names[1])
	if _, err := s.make(start.AddDate(-1, 0, 0)); err == nil {
		t.Error("a file was made through a link")
	}
}

func TestOpenSeriesFails(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/file", "")
	for name, want := range map[string]string{
		dir + "/missing/c": "does not exist: make it first",
		dir + "/file/c":    "not a directory",
		dir + "/":          "is a directory",
		"":                 "is a directory",
		dir + "/%Q":        "%Q, which is not known",
	} {
		if _, err := OpenSeries(Config{Name: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", name, err, want)
		}
	}
	if _, err := OpenSeries(Config{Name: dir + "/c", Policy: Policy{Files: 1}}); err == nil {
		t.Error("a policy that is not valid was taken")
	}
}

func TestSeriesGoesOnAfterRename(t *testing.T) {
	dir := t.TempDir()
	a, b := dir+"/a", dir+"/b"
	if err := os.Mkdir(a, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, a+"/c", Policy{Packets: 1, Files: 2})
	if err := os.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	record(t, s, 3, 50)
	if _, err := s.Retain(start, 0, false); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, "b/c_00002_20261122161300.pcapng.zst", "b/c_00003_20261122161400.pcapng.zst")
}

func TestSeriesGoesOnAfterDirectoryWasAway(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir+"/c", Policy{})
	f := next(t, s, start)
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.make(start); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("without a directory: %v", err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	next(t, s, start)
	if err := f.Discard(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	s.Discarded(f)
	wantFiles(t, dir, "c_00002_20261122161200.pcapng.zst")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir+"/c", Policy{Packets: 1, Files: 1})
	f := next(t, s, start)
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
	s.Discarded(f)
	wantFiles(t, dir)

	// What has taken the file's place is not ours to remove.
	f = next(t, s, start)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	put(t, f.Name(), "another")
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, f.Name())
}

// TestSeriesTogether is for the race detector: files are made, prepared,
// closed and removed at once.
func TestSeriesTogether(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir+"/%Y%m%d/%H%M%S", Policy{Packets: 1, Files: 5})
	done := make(chan struct{})
	var helpers sync.WaitGroup
	for _, help := range []func() error{s.Prepare, func() error {
		_, err := s.Retain(start, 0, false)
		return err
	}} {
		helpers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := help(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	record(t, s, 200, 50)
	close(done)
	helpers.Wait()
	if _, err := s.Retain(start, 0, false); err != nil {
		t.Error(err)
	}
	if got := files(t, dir); len(got) != 5 {
		t.Errorf("%d files are left: %q", len(got), got)
	}
}
