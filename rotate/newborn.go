package rotate

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A file is written before it has its name: no moment at which the process may be
// killed leaves a name without a header behind it.

// newborn is a file without its name.
type newborn struct {
	dir   maker
	owner Owner
	temp  string // the name that it has meanwhile; "": none, and it is gone with the process
}

// Publish gives the file its name, which nothing else has or gets. What was written
// before is to be seen from then on. On an error the file is to be discarded. For a
// file that has its name, Publish does nothing.
func (f *File) Publish() error {
	if f.newborn == nil {
		return nil
	}
	return f.publish()
}

// begin opens a new file in a folder, without a name where the system can do that.
func (f *File) begin(dir maker, folder string, o Owner) error {
	file, err := dir.unnamed()
	if err != nil {
		return f.beginTemporary(dir, folder, o)
	}
	if err := claim(file, o); err != nil {
		return errors.Join(err, file.Close())
	}
	f.newborn = &newborn{dir, o, ""}
	return f.hold(file)
}

// beginTemporary opens a new file under a temporary name.
func (f *File) beginTemporary(dir maker, folder string, o Owner) error {
	temp := path.Join(folder, temporaryName())
	file, err := dir.create(temp)
	if err != nil {
		return err
	}
	if err := claim(file, o); err != nil {
		return errors.Join(err, file.Close(), dir.remove(temp))
	}
	f.newborn = &newborn{dir, o, temp}
	return f.hold(file)
}

// hold makes an open file that of f. It takes a copy of the descriptor, because an
// os.File keeps the name that it began with.
func (f *File) hold(file *os.File) error {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return errors.Join(os.NewSyscallError("fcntl", err), file.Close(), f.newborn.remove())
	}
	f.File = os.NewFile(uintptr(fd), f.name)
	file.Close() // nothing has been written by it
	return nil
}

// nameAs gives the file a name in its directory. Where one without a name cannot get
// any, as without /proc, it is copied to one with a temporary name.
func (f *File) nameAs(name string) error {
	n := f.newborn
	if n.temp != "" {
		return n.dir.rename(n.temp, name)
	}
	err := n.dir.link(f.File, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := f.moveTo(n.dir, path.Dir(name)); err != nil {
		return err
	}
	return f.newborn.dir.rename(f.newborn.temp, name)
}

// moveTo makes the file, which has no name yet, anew in another place.
func (f *File) moveTo(dir maker, folder string) error {
	old, was := f.File, f.newborn
	if err := f.beginTemporary(dir, folder, was.owner); err != nil {
		f.File, f.newborn = old, was
		return err
	}
	_, err := io.Copy(f.File, io.NewSectionReader(old, 0, 1<<62))
	return errors.Join(err, old.Close(), was.remove())
}

// remove removes what the file stands under.
func (n *newborn) remove() error {
	if n.temp == "" {
		return nil
	}
	err := n.dir.remove(n.temp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeSame removes a name if it is that of an open file, and not of something else
// that has it by now.
func removeSame(dir maker, f *File, name string) error {
	made, err := f.Stat()
	if err != nil {
		return err
	}
	found, err := dir.lstat(name)
	if err != nil || !os.SameFile(made, found) {
		return err
	}
	return dir.remove(name)
}

// Temporary names are .tunrec-RANDOM.new.
const (
	temporaryPrefix, temporarySuffix = ".tunrec-", ".new"
	temporaryMost                    = 1 << 20 // bytes: a header is never longer
)

func temporaryName() string {
	return temporaryPrefix + strings.ToLower(rand.Text()) + temporarySuffix
}

func isTemporary(elem string) bool {
	random, isPrefixed := strings.CutPrefix(elem, temporaryPrefix)
	random, isSuffixed := strings.CutSuffix(random, temporarySuffix)
	return isPrefixed && isSuffixed && len(random) == len(rand.Text()) &&
		strings.Trim(random, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// sweep removes what a process that was killed has left under a temporary name: what
// is called so, is the user's who would have made it, short, not being written, and
// empty or with a header. Where there are no locks, nobody knows what is being written.
func (s *Series) sweep(dir filesystem, names []string) {
	for _, name := range names {
		if err := s.sweepOne(dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.letBe(name, fmt.Errorf("it may be another's: %w", err))
		}
	}
}

func (s *Series) sweepOne(dir filesystem, name string) error {
	f, info, err := s.openOwn(dir, name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := tryLock(f, syscall.LOCK_SH); err != nil {
		if errors.Is(err, errLocked) {
			return nil // it is about to get its name
		}
		return err
	}
	if info.Size() > 0 {
		if err := s.recognize(f); err != nil {
			return err
		}
	}
	if info.Size() > temporaryMost {
		return fmt.Errorf("it has %d bytes, more than a header", info.Size())
	}
	return removeSame(dir, &File{File: f}, name)
}

// sweepBeside is sweep for the directory of one file, which is open.
func sweepBeside(f *File, o CreateOptions) {
	dir, err := openDirectory(filepath.Dir(f.name))
	if err != nil {
		return // one may write into a directory that one may not list
	}
	defer dir.close()
	names, _ := dir.list(".")
	s := &Series{config: Config{Recognize: o.Recognize}, uid: ownerSeen(f, o.Owner), told: make(map[string]bool)}
	s.sweep(dir, slices.DeleteFunc(names, func(name string) bool { return !isTemporary(name) }))
}
