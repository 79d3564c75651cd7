package rotate

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// retain checks that a dry run tells what the real one then does.
func retain(t testing.TB, s *Series, now time.Time, open uint64) ([]Removed, error) {
	t.Helper()
	dry, dryErr := s.Retain(now, open, true)
	removed, err := s.Retain(now, open, false)
	if !slices.Equal(dry, removed) || (dryErr == nil) != (err == nil) {
		t.Errorf("a dry run told %v, %v; the real one %v, %v", dry, dryErr, removed, err)
	}
	return removed, err
}

// neverFree is more than is free where tests write, and less than the file system has.
func neverFree(t *testing.T) uint64 {
	t.Helper()
	d, err := openDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	free, size, err := d.space()
	if err := errors.Join(err, d.close()); err != nil {
		t.Fatal(err)
	}
	return free + (size-free)/2
}

func TestRetain(t *testing.T) {
	const n = 6 // files of 100 bytes, a minute apart, and one more that is open
	for _, c := range []struct {
		what   string
		policy Policy
		gone   int
		reason string
		err    error
	}{
		{"nothing", Policy{}, 0, "", nil},
		{"all fit", Policy{Files: n + 1}, 0, "", nil},
		{"one too many", Policy{Files: n}, 1, "files", nil},
		{"only the open one", Policy{Files: 1}, n, "files", nil},
		{"total fits", Policy{TotalBytes: 100*n + 50}, 0, "", nil},
		{"total one byte short", Policy{TotalBytes: 100*n + 49}, 1, "total", nil},
		{"total of the open one", Policy{TotalBytes: 50}, n, "total", nil},
		{"total below the open one", Policy{TotalBytes: 49}, n, "total", ErrNothingLeft},
		// The last packet of file i (from 0) is i min 1 s after the start.
		{"age just reached", Policy{Age: 10*time.Minute - 2*time.Minute - time.Second}, 2, "age", nil},
		{"age of all", Policy{Age: time.Second}, n, "age", nil},
		{"free enough", Policy{MinFree: 1}, 0, "", nil},
		{"never free enough", Policy{MinFree: neverFree(t)}, n, "minfree", ErrNothingLeft},
		{"first of several", Policy{Files: 6, TotalBytes: 350}, 3, "", nil},
	} {
		for _, name := range []string{"c", "%Y/%M%S"} {
			t.Run(c.what, func(t *testing.T) {
				dir := t.TempDir()
				c.policy.Packets = 1
				s := open(t, filepath.Join(dir, name), c.policy)
				names := record(t, s, n, 100)
				last := next(t, s, start.Add(n*time.Minute))
				removed, err := retain(t, s, start.Add(10*time.Minute), 50)
				if !errors.Is(err, c.err) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if got := removedNames(removed); !slices.Equal(got, names[:c.gone]) {
					t.Errorf("removed %q, want %q", got, names[:c.gone])
				}
				for _, r := range removed {
					if r.Bytes != 100 || c.reason != "" && r.Reason != c.reason {
						t.Errorf("removed %+v, want 100 bytes, %q", r, c.reason)
					}
				}
				wantFiles(t, dir, append(names[c.gone:], last.Name())...)
			})
		}
	}
}

func TestRetainOverRestart(t *testing.T) {
	for _, name := range []string{"c", "%Y/%M%S"} {
		dir := t.TempDir()
		p := Policy{Packets: 1, Files: 2}
		names := record(t, open(t, filepath.Join(dir, name), p), 4, 100)
		s := open(t, filepath.Join(dir, name), p)
		if _, err := retain(t, s, start, 0); err != nil {
			t.Error(err)
		}
		wantFiles(t, dir, names[2:]...)
	}
}

// TestRetainLetsBe: whatever the limits, some files are not touched.
func TestRetainLetsBe(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir+"/c", Policy{Packets: 1, Files: 1, TotalBytes: 1, Age: 1, MinFree: neverFree(t)})
	names := record(t, s, 8, 100)
	put(t, names[1]+".keep", "")
	put(t, names[2], "not ours any more")
	if err := os.Truncate(names[3], 0); err != nil {
		t.Fatal(err)
	}
	locked, err := os.Open(names[4])
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	if err := tryLock(locked, syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	kept := []string{names[1], names[1] + ".keep", names[2], names[3], names[4]}
	for _, name := range []string{
		"c_00005_20261122161200.pcapng", "c_00000_20261122161200.pcapng.zst", "d_00001_20261122161200.pcapng.zst", "c",
	} {
		name = filepath.Join(dir, name)
		put(t, name, string(content(start, start, 100)))
		kept = append(kept, name)
	}
	if err := os.Remove(names[6]); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(names[6], 0o600); err != nil { // nobody writes: opening it could wait for ever
		t.Fatal(err)
	}
	folder, link := "c_00098_20261122161200.pcapng.zst", "c_00099_20261122161200.pcapng.zst"
	if err := errors.Join(os.Mkdir(filepath.Join(dir, folder), 0o700), os.Symlink("c", filepath.Join(dir, link))); err != nil {
		t.Fatal(err)
	}
	kept = append(kept, names[6], filepath.Join(dir, link), next(t, s, start).Name())

	removed, err := s.Retain(start.Add(time.Hour), 0, false)
	if !errors.Is(err, ErrNothingLeft) {
		t.Errorf("error %v, want %v", err, ErrNothingLeft)
	}
	if got, want := removedNames(removed), []string{names[0], names[5], names[7]}; !slices.Equal(got, want) {
		t.Errorf("removed %q, want %q", got, want)
	}
	wantFiles(t, dir, kept...)
	if _, err := os.Stat(filepath.Join(dir, folder)); err != nil {
		t.Error(err)
	}
}

// TestRetainPinned: a pinned file counts for total only, and no longer when
// the pin has gone.
func TestRetainPinned(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir+"/c", Policy{Packets: 1, Files: 2, TotalBytes: 300})
	names := record(t, s, 3, 100)
	put(t, names[0]+".keep", "")
	if removed, err := retain(t, s, start, 0); len(removed) > 0 || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	if removed, err := retain(t, s, start, 1); len(removed) != 1 || err != nil || removed[0].Name != names[1] {
		t.Errorf("for one byte removed %v, %v", removed, err)
	}
	if err := os.Remove(names[0] + ".keep"); err != nil {
		t.Fatal(err)
	}
	f := next(t, s, start)
	if removed, err := retain(t, s, start, 0); len(removed) != 1 || err != nil || removed[0].Name != names[0] {
		t.Errorf("without the pin removed %v, %v", removed, err)
	}
	wantFiles(t, dir, names[2], f.Name())
}

// TestRetainSeesWhatUsersDo: files that someone else removed do not count.
func TestRetainSeesWhatUsersDo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir+"/c", Policy{Packets: 1, TotalBytes: 200})
	names := record(t, s, 4, 100)
	for _, name := range names[2:] {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if removed, err := retain(t, s, start, 0); len(removed) > 0 || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
}

// TestRetainOrder: numbers count, whatever the clock did; files of patterns
// go by their packets, whatever their names.
func TestRetainOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []time.Duration // when files begin
		want  []int           // removed, in this order
	}{
		{"c", []time.Duration{0, -time.Hour, time.Hour, -2 * time.Hour}, []int{0, 1, 2}},
		{"%T", []time.Duration{0, -time.Hour, time.Hour, -2 * time.Hour}, []int{3, 1, 0}},
	} {
		dir := t.TempDir()
		s := open(t, filepath.Join(dir, c.name), Policy{Packets: 1, Files: 1})
		var names, want []string
		for _, step := range c.steps {
			f := next(t, s, start.Add(step))
			complete(t, s, f, start.Add(step), 100)
			names = append(names, f.Name())
		}
		for _, i := range c.want {
			want = append(want, names[i])
		}
		removed, err := retain(t, s, start, 0)
		if got := removedNames(removed); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: removed %q, %v; want %q", c.name, got, err, want)
		}
	}
}

// TestRetainWithoutPackets: a file without packets is as old as its last write.
func TestRetainWithoutPackets(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir+"/c", Policy{Packets: 1, Age: time.Hour})
	f := next(t, s, start)
	put(t, f.Name(), "REC 0 0 ")
	f.Close()
	s.Closed(f, 8, Info{})
	if err := os.Chtimes(f.Name(), start, start); err != nil {
		t.Fatal(err)
	}
	if removed, err := retain(t, s, start.Add(time.Hour), 0); len(removed) > 0 || err != nil {
		t.Errorf("after an hour removed %v, %v", removed, err)
	}
	if removed, err := retain(t, s, start.Add(time.Hour+1), 0); len(removed) != 1 || err != nil {
		t.Errorf("a nanosecond later removed %v, %v", removed, err)
	}
}

// TestRetainOpensFewFiles: in a large directory all are recognized at the start, and
// only what is to go is inspected.
func TestRetainOpensFewFiles(t *testing.T) {
	dir := t.TempDir()
	p := Policy{Packets: 1, Files: 498}
	record(t, open(t, dir+"/c", p), 500, 50)
	recognized, inspected := 0, 0
	s, err := OpenSeries(Config{Name: dir + "/c", Suffix: testSuffix, Policy: p,
		Recognize: func(*os.File) error { recognized++; return nil },
		Inspect: func(f *os.File) (Info, error) {
			inspected++
			return inspect(f)
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if recognized != 500 || inspected != 0 {
		t.Errorf("at the start %d files were recognized, %d inspected", recognized, inspected)
	}
	if removed, err := s.Retain(start, 0, false); len(removed) != 2 || err != nil || recognized != 502 || inspected != 2 {
		t.Errorf("to remove %d files, %d were recognized, %d inspected, %v", len(removed), recognized-500, inspected, err)
	}
}

func TestRetainRemovesEmptyFolders(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir+"/%Y/%H/%M", Policy{Packets: 1, Files: 1})
	record(t, s, 2, 50)
	complete(t, s, next(t, s, start.Add(-8760*time.Hour)), start.Add(-8760*time.Hour), 50)
	if _, err := s.Retain(start, 0, false); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(dir + "/*/*/*")
	if want := dir + "/2026/16/13.pcapng.zst"; err != nil || !slices.Equal(left, []string{want}) {
		t.Errorf("left: %q, %v", left, err)
	}
	if _, err := os.Stat(dir + "/2025"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder is left: %v", err)
	}
}
