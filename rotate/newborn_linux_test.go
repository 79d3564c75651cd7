package rotate

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const header = "a header"

// waysToName are file systems on which a file gets its name in different ways.
var waysToName = map[string]func(filesystem) filesystem{
	"link":   func(d filesystem) filesystem { return d },
	"rename": func(d filesystem) filesystem { return plainFiles{d} },
	"copy":   func(d filesystem) filesystem { return unlinkable{d} },
}

// unlinkable is a system on which files without a name get none: without /proc and
// without privileges.
type unlinkable struct{ filesystem }

func (unlinkable) link(*os.File, string) error { return unix.EPERM }

// visible are the files of a directory that are to be seen.
func visible(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(files(t, dir), func(name string) bool { return isTemporary(filepath.Base(name)) })
}

// TestPublish: there is no name before the header is written, nor any other name
// afterwards; a name that something else gets meanwhile is passed over.
func TestPublish(t *testing.T) {
	for way, wrap := range waysToName {
		for _, prepared := range []bool{true, false} {
			dir := t.TempDir()
			c := Config{Name: dir + "/c", Suffix: testSuffix}
			s := openWith(t, c, wrap)
			if prepared {
				if err := s.Prepare(); err != nil {
					t.Fatal(err)
				}
			}
			f, err := s.Next(start)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte(header)); err != nil {
				t.Fatal(err)
			}
			if names := visible(t, dir); len(names) > 0 {
				t.Errorf("%s: before Publish %q are to be seen", way, names)
			}
			taken := filepath.Join(dir, "c_00001_20261122161200"+testSuffix)
			put(t, taken, "mine")
			if err := f.Publish(); err != nil {
				t.Fatal(err)
			}
			want := filepath.Join(dir, "c_00002_20261122161200"+testSuffix)
			if f.Name() != want {
				t.Errorf("%s: the name is %s, want %s", way, f.Name(), want)
			}
			wantFiles(t, dir, taken, want)
			text, err := os.ReadFile(want)
			if mine, _ := os.ReadFile(taken); string(text) != header || err != nil || string(mine) != "mine" {
				t.Errorf("%s: the file has %q, %v; the other one %q", way, text, err, mine)
			}
			if err := errors.Join(f.Truncate(0), f.Publish()); err != nil {
				t.Error(err)
			}
			checkOpenFile(t, f)
		}
	}
}

// TestTriesUseUpNoNumbers: whatever becomes of a file before it has packets, the next
// one has its number.
func TestTriesUseUpNoNumbers(t *testing.T) {
	for way, wrap := range waysToName {
		for _, name := range []string{"c", "%H"} {
			dir := t.TempDir()
			s := openWith(t, Config{Name: dir + "/" + name, Suffix: testSuffix}, wrap)
			record(t, s, 2, 50)
			before := visible(t, dir)
			for i := range 5 {
				f, err := s.Next(start.Add(time.Duration(i) * time.Minute))
				if err == nil && i%2 == 0 { // the header could be written, the first packet not
					err = f.Publish()
				}
				if err != nil {
					t.Fatal(err)
				}
				s.Discarded(f)
				if err := f.Discard(); err != nil {
					t.Error(err)
				}
				wantFiles(t, dir, before...)
			}
			f := next(t, s, start)
			if want := map[string]string{"c": "c_00003_20261122161200", "%H": "16_3"}[name] + testSuffix; filepath.Base(f.Name()) != want {
				t.Errorf("%s: the next file is %s, want %s", way, f.Name(), want)
			}
		}
	}
}

// TestNew: one file, the same way; in a directory that may not be listed, too.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	name := dir + "/a.pcapng"
	f, err := New(name, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir)
	if _, err := f.Write([]byte(header)); err != nil {
		t.Fatal(err)
	}
	put(t, name, "of another")
	if err := f.Publish(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that was taken meanwhile: %v", err)
	}
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
	if _, err := New(name, CreateOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	wantFiles(t, dir, name)
}

// TestRenameNew: a name that exists is never overwritten.
func TestRenameNew(t *testing.T) {
	dir := plainDirectory(t.TempDir())
	put(t, dir.path("a"), "a")
	put(t, dir.path("b"), "b")
	if err := dir.rename("a", "b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file: %v", err)
	}
	if err := dir.rename("a", "c"); err != nil {
		t.Error(err)
	}
	wantFiles(t, string(dir), "b", "c")
}

// TestSweep: of what is called like a file on its way to its name, the next start
// removes what a killed process has left, and nothing else.
func TestSweep(t *testing.T) {
	needRoot(t)
	for _, name := range []string{"c", "%Y/c%S"} {
		dir := t.TempDir()
		folder := dir + map[string]string{"c": "", "%Y/c%S": "/2026"}[name]
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		temp := func(text string) string {
			n := filepath.Join(folder, temporaryName())
			put(t, n, text)
			return n
		}
		ours := string(content(start, start, 50))
		gone := []string{temp(""), temp(ours)}
		kept := []string{temp(ours), temp("no header"), temp(ours), temp(ours + strings.Repeat("x", temporaryMost)), folder + "/.tunrec-x.new"}
		put(t, kept[4], "")
		if err := os.Chown(kept[0], stranger, stranger); err != nil {
			t.Fatal(err)
		}
		locked, err := os.Open(kept[2])
		if err != nil {
			t.Fatal(err)
		}
		if err := tryLock(locked, syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		fifo := filepath.Join(folder, temporaryName())
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		open(t, dir+"/"+name, Policy{Packets: 1})
		wantFiles(t, dir, append(kept, fifo)...)
		for _, n := range gone {
			if _, err := os.Lstat(n); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left: %v", n, err)
			}
		}
		locked.Close()
	}
}

// TestSweepBeside: so does one file, where it has a temporary name itself.
func TestSweepBeside(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, temporaryName())
	put(t, old, string(content(start, start, 50)))
	f, err := New(dir+"/a.pcapng", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Discard()
	recognize := func(f *os.File) error { _, err := inspect(f); return err }
	sweepBeside(f, CreateOptions{Recognize: recognize})
	if _, err := os.Lstat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", old, err)
	}
}

// childMake makes files, one after the other, until it is killed.
func childMake(dir string) error {
	way, dir, _ := strings.Cut(dir, ":")
	s, err := openSeries(Config{Name: dir + "/c", Suffix: testSuffix}, func() (filesystem, error) {
		d, err := openDirectory(dir)
		return waysToName[way](d), err
	})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if i%2 == 0 {
			if err := s.Prepare(); err != nil {
				return err
			}
		}
		f, err := s.Next(start)
		if err != nil {
			return err
		}
		if _, err := f.Write([]byte(header)); err != nil {
			return err
		}
		if err := errors.Join(f.Publish(), f.Close()); err != nil {
			return err
		}
		s.Closed(f, uint64(len(header)), Info{})
		if i == 0 {
			os.Stdout.WriteString("ready\n")
		}
	}
}

// recognizeHeader knows what childMake makes.
func recognizeHeader(f *os.File) error {
	b := make([]byte, len(header))
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != header {
		return fmt.Errorf("it begins with %q, %v", b, err)
	}
	return nil
}

// TestKilled kills a process at random moments while it makes files: each name has
// its header, and the next start leaves no other.
func TestKilled(t *testing.T) {
	for way := range waysToName {
		dir := t.TempDir()
		for range 12 {
			cmd := childCommand(t, "make", way+":"+dir)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
				t.Errorf("the child said %q, %v", line, err)
			}
			time.Sleep(rand.N(20 * time.Millisecond)) // any moment will do
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the child was not killed")
			}
			for _, name := range visible(t, dir) {
				if text, err := os.ReadFile(name); string(text) != header {
					t.Fatalf("%s: %s has %q, %v", way, name, text, err)
				}
			}
		}
		s, err := OpenSeries(Config{Name: dir + "/c", Suffix: testSuffix, Recognize: recognizeHeader})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if all, seen := files(t, dir), visible(t, dir); len(all) != len(seen) {
			t.Errorf("%s: after the next start there are %d files, and %d to be seen", way, len(all), len(seen))
		}
	}
}
