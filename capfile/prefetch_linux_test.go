package capfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/pcapng"
)

// TestPrefetch: what was asked for gets into the page cache, unread.
func TestPrefetch(t *testing.T) {
	rec := record(t, Plain, pcapng.Section{}, 3000, 3000)
	name := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(name, rec.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := NewReader(f, int64(len(rec.bytes)))
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := allChunks(r)
	e := entries[1]
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
	all := uint64(e.StoredLen) / uint64(os.Getpagesize())
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(time.Millisecond) {
		var pages unix.Cachestat_t
		err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: e.FileOffset, Len: uint64(e.StoredLen)}, &pages, 0)
		switch {
		case errors.Is(err, unix.ENOSYS): // Linux before 6.5
			t.Log("the system does not tell what is in the page cache: not checked")
			return
		case err != nil:
			t.Fatal(err)
		case pages.Cache >= all:
			return
		case time.Now().After(end):
			t.Fatalf("%d pages of %d are in the page cache", pages.Cache, all)
		}
		r.Prefetch(e)
	}
}
