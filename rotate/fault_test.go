package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var errInjected = errors.New("injected")

// faulty fails the next call of one operation.
type faulty struct {
	filesystem
	mu    sync.Mutex
	op    string
	fired bool
}

func (f *faulty) arm(op string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.op, f.fired = op, false
}

func (f *faulty) check(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.op != op {
		return nil
	}
	f.op, f.fired = "", true
	return fmt.Errorf("%s: %w", op, errInjected)
}

func (f *faulty) create(name string) (*os.File, error) {
	if err := f.check("create"); err != nil {
		return nil, err
	}
	return f.filesystem.create(name)
}

func (f *faulty) unnamed() (*os.File, error) {
	if err := f.check("unnamed"); err != nil {
		return nil, err
	}
	return f.filesystem.unnamed()
}

func (f *faulty) link(file *os.File, name string) error {
	return f.unless("link", func() error { return f.filesystem.link(file, name) })
}

func (f *faulty) rename(from, to string) error {
	return f.unless("rename", func() error { return f.filesystem.rename(from, to) })
}

func (f *faulty) mkdir(name string) error {
	return f.unless("mkdir", func() error { return f.filesystem.mkdir(name) })
}

func (f *faulty) chown(name string, uid, gid int) error {
	return f.unless("chown", func() error { return f.filesystem.chown(name, uid, gid) })
}

func (f *faulty) remove(name string) error {
	return f.unless("remove", func() error { return f.filesystem.remove(name) })
}

func (f *faulty) lstat(name string) (fs.FileInfo, error) {
	if err := f.check("lstat"); err != nil {
		return nil, err
	}
	return f.filesystem.lstat(name)
}

func (f *faulty) open(name string) (*os.File, error) {
	if err := f.check("open"); err != nil {
		return nil, err
	}
	return f.filesystem.open(name)
}

func (f *faulty) list(folder string) ([]string, error) {
	if err := f.check("list"); err != nil {
		return nil, err
	}
	return f.filesystem.list(folder)
}

func (f *faulty) sync(folder string) error {
	return f.unless("sync", func() error { return f.filesystem.sync(folder) })
}

func (f *faulty) space() (free, size uint64, err error) {
	if err := f.check("space"); err != nil {
		return 0, 0, err
	}
	return f.filesystem.space()
}

func (f *faulty) unless(op string, do func() error) error {
	if err := f.check(op); err != nil {
		return err
	}
	return do()
}

// TestFaults fails each operation once, in an empty and in a full series,
// where the next file is prepared and where it is not. What failed is told (or
// done in another way), leaves nothing behind, and succeeds when it is tried
// again; a series opened anew goes on well.
func TestFaults(t *testing.T) {
	for _, op := range []string{"create", "unnamed", "link", "mkdir", "chown", "remove", "lstat", "open", "list", "sync", "space", "rename"} {
		for _, name := range []string{"c", "%Y/%H/%M"} {
			for _, before := range []int{0, 4} {
				for _, how := range []string{"prepared", "unnamed", "temporary"} {
					t.Run(fmt.Sprintf("%s/%d before/%s", op, before, how), func(t *testing.T) {
						testFault(t, op, name, before, how)
					})
				}
			}
		}
	}
}

func testFault(t *testing.T, op, name string, before int, how string) {
	dir := t.TempDir()
	var disk *faulty
	c := Config{Name: filepath.Join(dir, name), Suffix: testSuffix, Inspect: inspect,
		Policy: Policy{Packets: 1, Files: 3, MinFree: 1}, Owner: Owner{true, os.Getuid(), os.Getgid()}}
	s, err := openSeries(c, func() (filesystem, error) {
		d, err := openDirectory(dir)
		if disk = (&faulty{filesystem: d}); how == "temporary" {
			disk.filesystem = plainFiles{d}
		}
		return disk, err
	})
	if err != nil {
		t.Fatal(err)
	}
	record(t, s, before, 100)

	failures := 0
	try := func(what string, do func() error) {
		t.Helper()
		err := do()
		if errors.Is(err, errInjected) {
			failures++
			err = do()
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	disk.arm(op)
	if how == "prepared" {
		try("Prepare", s.Prepare)
	}
	var f *File
	at := start.Add(time.Duration(before) * time.Minute)
	try("Next", func() error {
		var err error
		if f, err = s.make(at); err != nil && len(files(t, dir)) != before {
			t.Errorf("after %v there are %q", err, files(t, dir))
		}
		if folders, _ := os.ReadDir(dir); err != nil && op == "chown" && before == 0 && len(folders) > 0 {
			t.Errorf("after %v there are the folders %v", err, folders)
		}
		return err
	})
	complete(t, s, f, at, 100)
	try("Retain", func() error {
		_, err := s.Retain(at, 0, false)
		return err
	})
	try("Prepare", s.Prepare)
	byOtherMeans := op == "link" || op == "unnamed" && how != "prepared"
	if failures == 0 && disk.fired && !byOtherMeans && op != "remove" {
		t.Errorf("the failure of %s was not told", op)
	}
	if want := fmt.Sprintf("c_%05d_", before+1); name == "c" && !strings.Contains(f.Name(), want) {
		t.Errorf("after the failure of %s the file is %s, want %s", op, f.Name(), want)
	}
	if op == "remove" && failures == 0 && before > 0 {
		t.Error("the failure of remove was not told")
	}

	if got, want := len(files(t, dir)), min(3, before+1); got != want {
		t.Errorf("%d files, want %d: %q", got, want, files(t, dir))
	}
	again := open(t, c.Name, c.Policy)
	next(t, again, at.Add(time.Minute))
	if _, err := again.Retain(at, 0, false); err != nil {
		t.Error(err)
	}
	if got, want := len(files(t, dir)), min(3, before+2); got != want {
		t.Errorf("opened anew: %d files, want %d: %q", got, want, files(t, dir))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestOpenFaults: a directory that cannot be listed is not taken for empty.
func TestOpenFaults(t *testing.T) {
	dir := t.TempDir()
	_, err := openSeries(Config{Name: dir + "/c"}, func() (filesystem, error) {
		d, err := openDirectory(dir)
		disk := &faulty{filesystem: d}
		disk.arm("list")
		return disk, err
	})
	if !errors.Is(err, errInjected) {
		t.Errorf("error %v", err)
	}
}

// TestRetainGoesOn: one file that cannot be removed does not save the others.
func TestRetainGoesOn(t *testing.T) {
	dir := t.TempDir()
	var disk *faulty
	s, err := openSeries(Config{Name: dir + "/c", Suffix: testSuffix, Inspect: inspect,
		Policy: Policy{Packets: 1, Files: 2}}, func() (filesystem, error) {
		d, err := openDirectory(dir)
		disk = &faulty{filesystem: d}
		return disk, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names := record(t, s, 4, 100)
	disk.arm("remove")
	removed, err := s.Retain(start, 0, false)
	if !errors.Is(err, errInjected) || len(removed) != 2 {
		t.Errorf("removed %v, %v", removed, err)
	}
	wantFiles(t, dir, names[0], names[3])
}

// forbidding has something of another user in it, to which one operation is forbidden.
type forbidding struct {
	filesystem
	op, name string
}

func (f forbidding) check(op, name string) error {
	if op == f.op && name == f.name {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission}
	}
	return nil
}

func (f forbidding) open(name string) (*os.File, error) {
	if err := f.check("open", name); err != nil {
		return nil, err
	}
	return f.filesystem.open(name)
}

func (f forbidding) remove(name string) error {
	if err := f.check("remove", name); err != nil {
		return err
	}
	return f.filesystem.remove(name)
}

func (f forbidding) list(folder string) ([]string, error) {
	if err := f.check("list", folder); err != nil {
		return nil, err
	}
	return f.filesystem.list(folder)
}

// TestRetainLetsBeWhatIsAnothers: what may not be opened, removed or listed is told
// of once, is no error, and no newer file goes in its place.
func TestRetainLetsBeWhatIsAnothers(t *testing.T) {
	for _, p := range []Policy{{Files: 3}, {TotalBytes: 300}, {Age: time.Hour}, {Files: 3, Age: time.Hour, MinFree: 1}} {
		for _, op := range []string{"open", "remove", "list"} {
			for _, name := range []string{"c", "%M/%S"} {
				p.Packets = 1
				dir := t.TempDir()
				names := record(t, open(t, filepath.Join(dir, name), p), 4, 100)
				forbidden, err := filepath.Rel(dir, names[0])
				if err != nil {
					t.Fatal(err)
				}
				if op == "list" {
					forbidden = filepath.Dir(forbidden)
				}
				if forbidden == "." {
					continue // then there is no series at all
				}
				var told []string
				c := Config{Name: filepath.Join(dir, name), Suffix: testSuffix, Inspect: inspect, Policy: p,
					LetBe: func(name string, err error) { told = append(told, name) }}
				s, err := openSeries(c, func() (filesystem, error) {
					d, err := openDirectory(dir)
					return forbidding{d, op, forbidden}, err
				})
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					// Only the first file is older than an hour.
					if removed, err := s.Retain(start.Add(time.Hour+2*time.Second), 0, false); len(removed) > 0 || err != nil {
						t.Errorf("%+v, %s, %s: removed %v, %v", p, op, name, removed, err)
					}
				}
				if want := []string{filepath.Join(dir, forbidden)}; !slices.Equal(told, want) {
					t.Errorf("%+v, %s, %s: told of %q, want %q", p, op, name, told, want)
				}
				wantFiles(t, dir, names...)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// openWith opens a series on a file system that wraps the real one.
func openWith(t *testing.T, c Config, wrap func(filesystem) filesystem) *Series {
	t.Helper()
	s, err := openSeries(c, func() (filesystem, error) {
		d, err := openDirectory(filepath.Dir(c.Name))
		return wrap(d), err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// pinning pins every file when it is opened for its removal.
type pinning struct {
	filesystem
	t   *testing.T
	dir string
}

func (p pinning) open(name string) (*os.File, error) {
	put(p.t, filepath.Join(p.dir, name+pinSuffix), "")
	return p.filesystem.open(name)
}

func TestRetainSeesPinAtTheLastMoment(t *testing.T) {
	dir := t.TempDir()
	c := Config{Name: dir + "/c", Suffix: testSuffix, Inspect: inspect, Policy: Policy{Packets: 1, Files: 1}}
	s := openWith(t, c, func(d filesystem) filesystem { return pinning{d, t, dir} })
	names := record(t, s, 2, 50)
	if removed, err := s.Retain(start, 0, false); len(removed) > 0 || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	wantFiles(t, dir, names[0], names[0]+pinSuffix, names[1])
}

// syncing notes which folders were synced.
type syncing struct {
	filesystem
	folders map[string]int
}

func (s syncing) sync(folder string) error {
	s.folders[folder]++
	return s.filesystem.sync(folder)
}

func TestFoldersAreSynced(t *testing.T) {
	dir := t.TempDir()
	c := Config{Name: dir + "/c", Suffix: testSuffix, Inspect: inspect, Policy: Policy{Packets: 1, Files: 1}}
	disk := syncing{folders: make(map[string]int)}
	s := openWith(t, c, func(d filesystem) filesystem { disk.filesystem = d; return disk })
	want := func(what string, n int) {
		t.Helper()
		if disk.folders["."] != n {
			t.Errorf("after %s: synced %d times, want %d", what, disk.folders["."], n)
		}
	}
	record(t, s, 2, 50)
	want("two files", 0)
	if err := s.Prepare(); err != nil {
		t.Error(err)
	}
	want("Prepare", 1)
	if _, err := s.Retain(start, 0, false); err != nil {
		t.Error(err)
	}
	want("removal", 2)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	want("Close, with nothing new", 2)
}

// closing makes files that cannot be used.
type closing struct{ filesystem }

func (closing) unnamed() (*os.File, error) { return nil, errUnnamed }

func (c closing) create(name string) (*os.File, error) {
	f, err := c.filesystem.create(name)
	return f, errors.Join(err, f.Close())
}

func TestNextLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	s := openWith(t, Config{Name: dir + "/c", Owner: Owner{Set: true}}, func(d filesystem) filesystem { return closing{d} })
	if _, err := s.Next(start); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
	wantFiles(t, dir)
}
