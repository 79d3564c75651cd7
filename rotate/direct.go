package rotate

import (
	"io"
	"slices"
	"time"
	"unsafe"
)

const (
	// bufferedBytes is the most that is written into the page cache at once. For
	// larger writes it takes larger pieces of memory, and in a virtual machine the
	// large ones are those that its host has taken back: writing took twice as long.
	bufferedBytes = 128 << 10
	// directLeast is how long data has to be to go past the page cache. The disk
	// is waited for then: with 128 KiB that cost more than the cache, with 512 less.
	directLeast = 256 << 10
	// directAlign is what offset, length and memory of a direct write are multiples
	// of: enough for any disk (open(2), O_DIRECT).
	directAlign = 4096
	// sendAfter is how long after a direct write what the page cache has is sent to
	// the disk. To send it before each cost a tenth of recording.
	sendAfter = time.Second
	// cachedMost is how much may stand in the page cache, not sent yet, before a direct
	// write: so much may be a hole after a crash, and the disk has it to write as well.
	cachedMost = 16 << 20
	stageBytes = 2 << 20 // a huge page of most processors
)

// Stage is the memory, 2 MiB, by way of which a File writes past the page cache.
// It is for one goroutine at a time.
type Stage struct {
	Written uint64 // bytes, by way of it

	memory []byte
}

// NewStage returns a Stage.
func NewStage() *Stage {
	m := make([]byte, 2*stageBytes)
	offset := -uintptr(unsafe.Pointer(unsafe.SliceData(m))) & (stageBytes - 1)
	s := &Stage{memory: m[offset:][:stageBytes]}
	askHuge(s.memory)
	return s
}

// Write appends b. With a Stage, whole pages of a long b are written past the page
// cache, where the file system can do that; Write returns when they have been sent to
// the disk. That costs the processor less than to fill the cache with what nobody
// reads, and leaves the cache to others.
//
// What stands before these pages in the cache is sent on its way within a second:
// where the machine crashes, there would be holes. A file with too much of that goes
// on in the cache.
func (f *File) Write(b []byte) (written int, err error) {
	if f.Stage == nil || len(b) < directLeast || f.noDirect {
		return f.writeBuffered(b)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if f.cached.Load() > cachedMost {
		f.noDirect = true
		return f.writeBuffered(b)
	}
	head := b[:-end&(directAlign-1)]
	if written, err = f.writeBuffered(head); err != nil {
		return written, err
	}
	pages := (len(b) - len(head)) &^ (directAlign - 1)
	n, err := f.writeDirect(b[len(head):][:pages])
	written += n
	if err != nil {
		return written, err
	}
	f.Stage.Written += uint64(n)
	if n > 0 && !f.sending.Swap(true) {
		time.AfterFunc(sendAfter, f.send)
	}
	n, err = f.writeBuffered(b[written:])
	return written + n, err
}

// Truncate changes the size of the file.
func (f *File) Truncate(size int64) error {
	f.aside = min(f.aside, size)
	return f.File.Truncate(size)
}

func (f *File) writeBuffered(b []byte) (written int, err error) {
	f.setAside(len(b))
	for part := range slices.Chunk(b, bufferedBytes) {
		n, err := f.File.Write(part)
		written += n
		f.cached.Add(int64(n))
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
