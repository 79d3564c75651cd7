package rotate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const stranger = 12345 // a user

// plantAll puts everything into a directory that can have a name of the series c and
// is none of its files, and returns the names.
func plantAll(t *testing.T, dir string) (names []string) {
	t.Helper()
	needRoot(t)
	name := func(number string) string {
		n := filepath.Join(dir, "c_"+number+"_20261122161200"+testSuffix)
		names = append(names, n)
		return n
	}
	ours := string(content(start, start, 100))
	put(t, name("00901"), "")
	put(t, name("00902"), "no header at all")
	put(t, name("00903"), ours)
	put(t, name("00904"), ours)
	put(t, name("4000000000"), ours)
	put(t, name("999999999999"), ours)
	put(t, name("00907"), "")
	err := errors.Join(
		os.Truncate(names[3], 1<<40), // sparse, behind a header of ours
		os.Chown(names[2], stranger, stranger),
		os.Chown(names[4], stranger, stranger),
		os.Chown(names[5], stranger, stranger),
		os.Truncate(names[6], 1<<40), // sparse, nothing in it
		syscall.Mkfifo(name("00910"), 0o600),
		os.Mkdir(name("00911"), 0o700),
		os.Symlink("c_00001_20261122161200"+testSuffix, name("00912")),
		os.Symlink("/dev/zero", name("00913")),
		unix.Mknod(name("00914"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))), // zero
		unix.Mknod(name("00915"), unix.S_IFSOCK|0o600, 0),
	)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestPlanted: in a directory where everybody may make files, as /tmp, nothing that
// others have put there counts, moves the numbering or is removed; each is told once.
func TestPlanted(t *testing.T) {
	for _, p := range []Policy{
		{Files: 100}, {TotalBytes: 1000}, {MinFree: 1}, {Age: time.Hour},
		{Files: 2}, {TotalBytes: 200}, {MinFree: neverFree(t)}, {Age: time.Nanosecond},
	} {
		p.Packets = 1
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		own := record(t, open(t, dir+"/c", Policy{}), 4, 100)
		planted := plantAll(t, dir)
		told := make(map[string]int)
		c := Config{Name: dir + "/c", Suffix: testSuffix, Policy: p, Inspect: inspect,
			LetBe: func(name string, _ error) { told[name]++ }}
		s, err := OpenSeries(c)
		if err != nil {
			t.Fatal(err)
		}
		f := next(t, s, start.Add(10*time.Minute))
		if want := dir + "/c_00005_20261122162200" + testSuffix; f.Name() != want {
			t.Errorf("%+v: the next file is %s, want %s", p, f.Name(), want)
		}
		kept := append(slices.Clone(own), planted...)
		for range 3 {
			removed, err := s.Retain(start.Add(5*time.Minute), 50, false)
			if err != nil && (!errors.Is(err, ErrNothingLeft) || p.MinFree < 2) {
				t.Errorf("%+v: %v", p, err)
			}
			for _, name := range removedNames(removed) {
				if !slices.Contains(own, name) {
					t.Errorf("%+v: %s was removed", p, name)
				}
				kept = slices.DeleteFunc(kept, func(k string) bool { return k == name })
			}
		}
		wantKept := map[bool]int{true: 4, false: 1}[p.Files == 100 || p.TotalBytes == 1000 || p.MinFree == 1 || p.Age == time.Hour]
		if p.MinFree > 1 || p.Age == time.Nanosecond {
			wantKept = 0
		}
		if got := len(kept) - len(planted); got != wantKept {
			t.Errorf("%+v: %d of the series' own are left, want %d", p, got, wantKept)
		}
		for _, name := range kept {
			if _, err := os.Lstat(name); err != nil {
				t.Errorf("%+v: %v", p, err)
			}
		}
		for _, name := range planted {
			if told[name] != 1 {
				t.Errorf("%+v: %s was told %d times", p, name, told[name])
			}
		}
		if len(told) != len(planted) {
			t.Errorf("%+v: told of %d, %d were planted", p, len(told), len(planted))
		}
	}
}

// TestPlantedWhileRecording: a flood of files that look like the series' own does not
// hold up a run, and counts for nothing; names are told until there are too many.
func TestPlantedWhileRecording(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	looked, told := 0, 0
	c := Config{Name: dir + "/c", Suffix: testSuffix, Policy: Policy{Packets: 1, Files: 3}, Inspect: inspect,
		Recognize: func(f *os.File) error {
			looked++
			_, err := inspect(f)
			return err
		},
		LetBe: func(string, error) { told++ }}
	s, err := OpenSeries(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names := record(t, s, 3, 100)
	const planted = 1000
	for i := range planted {
		put(t, fmt.Sprintf("%s/c_%05d_20261122161200%s", dir, 1000+i, testSuffix), "not ours")
	}
	for range planted/lookMost + 2 {
		looked = 0
		if removed, err := s.Retain(start, 0, false); err != nil || len(removed) > 0 || looked > lookMost {
			t.Fatalf("%d files were looked into; removed %v, %v", looked, removed, err)
		}
	}
	if looked != 0 {
		t.Errorf("%d files were looked into again", looked)
	}
	if told != toldMost+1 {
		t.Errorf("told of %d files, want %d", told, toldMost+1)
	}
	f := next(t, s, start)
	if want := dir + "/c_00004_20261122161200" + testSuffix; f.Name() != want {
		t.Errorf("the next file is %s, want %s", f.Name(), want)
	}
	if removed, err := s.Retain(start, 0, false); err != nil || !slices.Equal(removedNames(removed), names[:1]) {
		t.Errorf("removed %v, %v", removed, err)
	}
}

// swapping puts another file in the place of one that is looked into.
type swapping struct {
	filesystem
	swap func(name string)
}

func (s swapping) open(name string) (*os.File, error) {
	f, err := s.filesystem.open(name)
	s.swap(name)
	return f, err
}

// TestReplacedIsNotRemoved: what takes a file's place after it was opened stays.
func TestReplacedIsNotRemoved(t *testing.T) {
	dir := t.TempDir()
	swap := func(string) {}
	c := Config{Name: dir + "/c", Suffix: testSuffix, Policy: Policy{Packets: 1, Files: 1}, Inspect: inspect}
	s := openWith(t, c, func(d filesystem) filesystem {
		return swapping{d, func(name string) { swap(name) }}
	})
	names := record(t, s, 2, 100)
	swap = func(name string) {
		full := filepath.Join(dir, name)
		if err := os.Rename(full, full+".old"); err != nil {
			t.Error(err)
		}
		put(t, full, "of another")
	}
	if _, err := s.Retain(start, 0, false); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(names[0]); string(text) != "of another" {
		t.Errorf("what took the place is %q, %v", text, err)
	}
}

// TestOwnerIsSeen: where the file system gives all files to one user, they are the
// series' own. A directory of such a file system is stood in for by one of another's.
func TestOwnerIsSeen(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	c := Config{Name: dir + "/c", Suffix: testSuffix, Policy: Policy{Packets: 1, Files: 1}, Inspect: inspect}
	s := openWith(t, c, func(d filesystem) filesystem { return giving{d} })
	if s.uid != stranger {
		t.Fatalf("files are taken to be user %d's", s.uid)
	}
	names := record(t, s, 2, 100)
	again := openWith(t, c, func(d filesystem) filesystem { return giving{d} })
	if removed, err := again.Retain(start, 0, false); err != nil || !slices.Equal(removedNames(removed), names[:1]) {
		t.Errorf("removed %v, %v", removed, err)
	}
}

// giving gives all new files to the stranger.
type giving struct{ filesystem }

func (g giving) unnamed() (*os.File, error) {
	f, err := g.filesystem.unnamed()
	if err != nil {
		return nil, err
	}
	return f, f.Chown(stranger, stranger)
}

// TestUnsafe: files that may not be on the disk push out none that are.
func TestUnsafe(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir+"/c", Policy{Packets: 1, Files: 5})
	safe := record(t, s, 5, 100)
	var files []*File
	for i := range 20 {
		f := next(t, s, start.Add(time.Duration(10+i)*time.Minute))
		s.Unsafe(f)
		complete(t, s, f, start, 100)
		if removed, err := retain(t, s, start, 0); err != nil || len(removed) > 0 {
			t.Fatalf("with %d unsafe files removed %v, %v", i+1, removed, err)
		}
		files = append(files, f)
	}
	for i, f := range files[:3] { // three can be synced after all: they count, and the oldest go
		s.Safe(f)
		if removed, err := retain(t, s, start, 0); err != nil || !slices.Equal(removedNames(removed), safe[i:i+1]) {
			t.Errorf("removed %v, %v, want %s", removed, err, safe[i])
		}
	}
	if removed, err := retain(t, s, start, 0); err != nil || len(removed) > 0 {
		t.Errorf("then removed %v, %v", removed, err)
	}
	for _, f := range files[3:] {
		s.Safe(f)
	}
	if removed, err := retain(t, s, start, 0); err != nil || len(removed) != 17 {
		t.Errorf("when all are safe removed %v, %v", removed, err)
	}
}

func TestCannotHold(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "tmpfs", "size=1m")
	for _, c := range []struct {
		p    Policy
		want string
	}{
		{Policy{MinFree: 1 << 20}, "minfree (1048576 bytes) cannot hold: the file system of " + dir + " has 1048576 bytes"},
		{Policy{MinFree: 1<<20 - 1}, ""},
		{Policy{MinFree: 1 << 19, FileBytes: 1 << 19}, ""},
		{Policy{MinFree: 1 << 19, FileBytes: 1<<19 + 1}, "cannot hold together"},
	} {
		c.p.Packets = 1
		s, err := OpenSeries(Config{Name: dir + "/c", Policy: c.p, Inspect: inspect})
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrCannotHold) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: error %v, want %q", c.p, err, c.want)
		}
		if err == nil {
			s.Close()
		}
	}
}
