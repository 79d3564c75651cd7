package rotate

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDirect writes data of all lengths, and cuts some of it off again, with a
// Stage now and then, on a file system that can write past the page cache, as
// nearly all can, and on one that cannot.
func TestDirect(t *testing.T) {
	without := t.TempDir()
	mount(t, without, "ramfs", "")
	stage := NewStage()
	for _, dir := range []string{t.TempDir(), without} {
		f, err := Create(filepath.Join(dir, "a"), CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		random := rand.New(rand.NewPCG(1, 2))
		noise := make([]byte, 5<<20)
		rand.NewChaCha8([32]byte{}).Read(noise)
		var want []byte
		for range 100 {
			b := noise[random.IntN(len(noise)):]
			b = b[:min(len(b), 1<<random.IntN(23)+random.IntN(5))]
			if f.Stage = nil; random.IntN(4) > 0 {
				f.Stage = stage
			}
			if n, err := f.Write(b); n != len(b) || err != nil {
				t.Fatalf("Write of %d bytes: %d, %v", len(b), n, err)
			}
			want = append(want, b...)
			if random.IntN(8) == 0 {
				want = want[:len(want)-random.IntN(len(b))]
				if err := f.Truncate(int64(len(want))); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got, err := os.ReadFile(f.Name()); !bytes.Equal(got, want) {
			t.Errorf("the file of %d bytes is not the %d that were written (%v)", len(got), len(want), err)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); flags&(unix.O_DIRECT|unix.O_APPEND) != unix.O_APPEND {
			t.Errorf("flags of the file: %#x, %v", flags, err)
		}
		if can := canDirect(f); f.noDirect == can || dir == without && can {
			t.Errorf("%s: the page cache cannot be passed: %v; there is O_DIRECT: %v", dir, f.noDirect, can)
		}
	}
}

// canDirect tells whether the file system knows O_DIRECT.
func canDirect(f *File) bool {
	fd, err := unix.Open(f.Name(), unix.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// TestDirectLeavesNoHoles: what the page cache has of a file is sent to the disk soon
// after what stands behind it is there. Otherwise a crash of the machine leaves a hole
// for each chunk, and one for the header.
func TestDirectLeavesNoHoles(t *testing.T) {
	f, write := growing(t)
	f.Stage = NewStage()
	for range 20 {
		write(100)
		write(directLeast + 1000)
	}
	if (f.Stage.Written > 0) != canDirect(f) {
		t.Fatalf("%d bytes went past the page cache", f.Stage.Written)
	}
	if f.Stage.Written == 0 {
		return
	}
	// The system would send them after 30 s (dirty_expire_centisecs).
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var pages unix.Cachestat_t
		err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &pages, 0)
		if errors.Is(err, unix.ENOSYS) { // Linux before 6.5
			t.Log("the system does not tell which pages are in the page cache alone: not checked")
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if pages.Dirty == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d pages are in the page cache alone", pages.Dirty)
		}
	}
}

// TestDirectAfterCache: nothing goes past much that is in the page cache alone.
func TestDirectAfterCache(t *testing.T) {
	f, write := growing(t)
	for range cachedMost/directLeast + 1 {
		write(directLeast)
	}
	f.Stage = NewStage()
	for range 3 {
		write(directLeast + 1000)
	}
	if f.Stage.Written > 0 {
		t.Errorf("%d bytes went past more than %d in the page cache", f.Stage.Written, cachedMost)
	}
}

// growing returns a new file, and what writes so many bytes to it.
func growing(t *testing.T) (f *File, write func(n int)) {
	t.Helper()
	f, err := Create(filepath.Join(t.TempDir(), "a"), CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, func(n int) {
		t.Helper()
		if _, err := f.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
}
