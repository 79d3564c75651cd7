package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// durable is what a disk would still have after a power cut: of every file what it
// had at its last fsync, under the names that were there at the last fsync of
// anything, since a file system's journal commits all names at once.
type durable struct {
	root string

	mu    sync.Mutex
	data  map[uint64][]byte // by inode number
	names map[string]uint64
}

func newDurable(root string) *durable {
	return &durable{root: root, data: map[uint64][]byte{}, names: map[string]uint64{}}
}

// sync keeps what an open file has now.
func (d *durable) sync(ino uint64, fd int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commitNames()
	if b, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil {
		d.data[ino] = b
	}
}

// commit keeps the names that are there now.
func (d *durable) commit() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commitNames()
}

func (d *durable) commitNames() {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return
	}
	d.names = map[string]uint64{}
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(d.root, e.Name()), &st) == nil {
			d.names[e.Name()] = st.Ino
		}
	}
}

// wreck is what of the unsynced writes of a file reaches the disk all the same.
type wreck func(live, synced []byte) []byte

// cut writes what is left after a power cut into a folder. The caller holds mu.
func (d *durable) cut(to string, of wreck) error {
	for name, ino := range d.names {
		live, err := os.ReadFile(filepath.Join(d.root, name))
		if err != nil {
			live = d.data[ino] // removed, but not for good
		}
		if err := os.WriteFile(filepath.Join(to, name), of(live, d.data[ino]), 0o644); err != nil {
			return err
		}
	}
	return nil
}
