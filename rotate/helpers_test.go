package rotate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// start is when the first file of a test begins.
var start = time.Date(2026, 11, 22, 16, 12, 0, 0, time.UTC)

const testSuffix = ".pcapng.zst"

// inspect knows the files that write makes: "REC first last", and any filler.
func inspect(f *os.File) (Info, error) {
	head, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return Info{}, err
	}
	i := Info{Packets: 1}
	if _, err := fmt.Sscanf(string(head), "REC %d %d ", &i.First, &i.Last); err != nil {
		return Info{}, errors.New("not a test file")
	}
	if i.First == 0 {
		i.Packets = 0
	}
	return i, nil
}

func content(first, last time.Time, size int) []byte {
	head := fmt.Sprintf("REC %d %d ", first.UnixNano(), last.UnixNano())
	return []byte(head + strings.Repeat("x", max(0, size-len(head))))
}

func open(t testing.TB, name string, p Policy) *Series {
	t.Helper()
	s, err := OpenSeries(Config{Name: name, Suffix: testSuffix, Policy: p, Inspect: inspect})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// make makes the next file, with its name.
func (s *Series) make(at time.Time) (*File, error) {
	f, err := s.Next(at)
	if err != nil {
		return nil, err
	}
	if err := f.Publish(); err != nil {
		s.Discarded(f)
		return nil, errors.Join(err, f.Discard())
	}
	return f, nil
}

func next(t testing.TB, s *Series, at time.Time) *File {
	t.Helper()
	f, err := s.make(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// complete writes size bytes to a file that began at first, and closes it.
func complete(t testing.TB, s *Series, f *File, first time.Time, size int) {
	t.Helper()
	last := first.Add(time.Second)
	data := content(first, last, size)
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.Closed(f, uint64(len(data)), Info{first.UnixNano(), last.UnixNano(), 1})
}

// record makes n complete files of size bytes, a minute apart.
func record(t testing.TB, s *Series, n, size int) (names []string) {
	t.Helper()
	for i := range n {
		at := start.Add(time.Duration(i) * time.Minute)
		f := next(t, s, at)
		complete(t, s, f, at, size)
		names = append(names, f.Name())
	}
	return names
}

// files returns the paths of all files below dir, sorted.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func wantFiles(t testing.TB, dir string, want ...string) {
	t.Helper()
	for i, name := range want {
		if !filepath.IsAbs(name) {
			want[i] = filepath.Join(dir, name)
		}
	}
	slices.Sort(want)
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("in %s are\n%q\nwant\n%q", dir, got, want)
	}
}

func removedNames(removed []Removed) (names []string) {
	for _, r := range removed {
		names = append(names, r.Name)
	}
	return names
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// plainFiles is a file system that knows no files without a name.
type plainFiles struct{ filesystem }

func (plainFiles) unnamed() (*os.File, error) { return nil, errUnnamed }
