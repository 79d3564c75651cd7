package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Which files with a name of the series are its own. A name proves nothing: anybody
// who may write into the directory can give it to anything. So no other file counts,
// moves the numbering, or is ever removed.

// A file is sparse where so many times more bytes are in it than on the disk, and it
// is not short. Compression by the file system does not come near that.
const (
	sparseRatio = 1000
	sparseLeast = 16 << 20
)

// examine looks into a file that has a name of the series. The error says why it is
// none of its own, or that there is no such file.
func (s *Series) examine(dir filesystem, name string) (*entry, error) {
	f, info, err := s.openOwn(dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := s.recognize(f); err != nil {
		return nil, err
	}
	return &entry{name: name, number: s.names.number(name),
		size: bytesOnDisk(info), changed: info.ModTime().UnixNano()}, nil
}

// openOwn opens a file that can be one of the series', as far as its inode tells.
// Nothing else is opened: that could wait, or have effects.
func (s *Series) openOwn(dir filesystem, name string) (*os.File, fs.FileInfo, error) {
	info, err := dir.lstat(name)
	if err == nil {
		err = s.plausible(info)
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := dir.open(name)
	if err != nil {
		return nil, nil, err
	}
	opened, err := f.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = fmt.Errorf("another file took its place: %w", fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, opened, nil
}

// plausible says why what has a name of the series cannot be a file of it.
func (s *Series) plausible(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if int(st.Uid) != s.uid {
		return fmt.Errorf("it is user %d's, and files of this series are made as user %d's", st.Uid, s.uid)
	}
	if size, onDisk := info.Size(), int64(st.Blocks)*512; size >= sparseLeast && onDisk > 0 && size/sparseRatio > onDisk {
		return fmt.Errorf("it is sparse: of %d bytes the disk has %d", size, onDisk)
	}
	return nil
}

// recognize reports, by an error, that an open file is not of this series.
func (s *Series) recognize(f *os.File) error {
	if s.config.Recognize != nil {
		return s.config.Recognize(f)
	}
	if s.config.Inspect != nil {
		_, err := s.config.Inspect(f)
		return err
	}
	return nil
}

// bytesOnDisk is what a file counts: what is in it, or what it takes on the disk where
// that is less, because the file system has compressed it or it has holes. To remove
// it frees no more. What a file takes beyond its length, to fill its last block or set
// aside ahead, is not counted: limits are about bytes of captures, and stay the same
// whatever the file system's blocks are. File systems that tell of no blocks are not
// believed.
func bytesOnDisk(info fs.FileInfo) uint64 {
	size := uint64(info.Size())
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Blocks > 0 {
		return min(size, uint64(st.Blocks)*512)
	}
	return size
}

// ownerOf is the user whose a new file is. That is seen from one, which is not kept.
func ownerOf(dir filesystem, o Owner) int {
	f := &File{}
	if f.begin(dir, ".", o) != nil {
		return ownerMeant(o) // the next file will say what is wrong
	}
	uid := ownerSeen(f, o)
	_ = f.Discard()
	return uid
}

func ownerMeant(o Owner) int {
	if o.Set {
		return o.UID
	}
	return os.Geteuid()
}

// ownerSeen is the user whose a new file is: file systems without owners, or of other
// machines, give files to whom they want.
func ownerSeen(f *File, o Owner) int {
	if info, err := f.Stat(); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return int(st.Uid)
		}
	}
	return ownerMeant(o)
}
