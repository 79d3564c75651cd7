package rotate

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAhead: disk space is set aside ahead of a long file, but on a disk with little,
// and the file that is left takes none but its own.
func TestAhead(t *testing.T) {
	large, small := t.TempDir(), t.TempDir()
	mount(t, large, "tmpfs", "size=2g")
	mount(t, small, "tmpfs", "size=6m")
	for _, c := range []struct {
		dir  string
		full bool
	}{{t.TempDir(), false}, {large, false}, {small, true}} {
		f, err := Create(filepath.Join(c.dir, "a"), CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.Ahead = true
		piece := make([]byte, 300<<10)
		written, most := int64(0), int64(0)
		for range 100 {
			var n int
			n, err = f.Write(piece)
			written += int64(n)
			_, taken := sizes(t, f)
			if most = max(most, taken); err != nil {
				break
			}
		}
		if full := errors.Is(err, syscall.ENOSPC); full != c.full || err != nil && !full {
			t.Errorf("%s: after %d bytes: %v", c.dir, written, err)
		}
		if aside := f.aside > written && most >= f.aside; c.dir == large && !aside || c.full && f.Ahead {
			t.Errorf("%s: %d bytes were set aside for %d", c.dir, most, written)
		}
		if size, _ := sizes(t, f); size != written {
			t.Errorf("%s: size %d, written %d", c.dir, size, written)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if size, taken := sizes(t, f); size != written || taken > written+256<<10 {
			t.Errorf("%s: %d bytes, of %d written, take %d at the end", c.dir, size, written, taken)
		}
	}
}

// sizes returns the length of a file, and how much disk it takes, in bytes.
func sizes(t *testing.T, f *File) (size, taken int64) {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Stat(f.Name(), &s); err != nil {
		t.Fatal(err)
	}
	return s.Size, s.Blocks * 512
}
