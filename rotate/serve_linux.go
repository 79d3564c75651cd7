package rotate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxUnnamed is how many files that may still be given a name the helper holds on to.
// Series prepares one; the next ones push out those that it has let go.
const maxUnnamed = 4

// server is the helper's end. It believes nothing that it is asked: whoever asks may be
// an intruder in the recorder. Beyond the series of c it makes, opens and removes nothing,
// and follows no link.
type server struct {
	names naming
	owner Owner
	dir   int

	mu      sync.Mutex
	unnamed []unnamedFile // oldest first
}

type unnamedFile struct {
	inode uint64
	file  *os.File
}

// ServeDirectory makes the files of the series c in a directory for who asks by way of
// sockets, until all of them are closed at the other end. Of c it uses names and owner.
func ServeDirectory(sockets []*os.File, dir *os.File, c Config) error {
	names, err := newNaming(c)
	if err != nil {
		return err
	}
	s := &server{names: names, owner: c.Owner, dir: int(dir.Fd())}
	var lanes sync.WaitGroup
	errs := make([]error, len(sockets))
	for i, socket := range sockets {
		lanes.Go(func() { errs[i] = s.serve(socket) })
	}
	lanes.Wait()
	return errors.Join(errs...)
}

func (s *server) serve(socket *os.File) error {
	request := make([]byte, requestHead+maxRemoteName+1)
	for {
		n, fd, err := receive(socket, request)
		if fd >= 0 {
			unix.Close(fd) // nobody asked for it
		}
		if errors.Is(err, unix.ECONNRESET) || err == nil && n == 0 {
			return nil // the recorder has ended
		}
		if err != nil {
			return os.NewSyscallError("recvmsg", err)
		}
		fd, err = s.answer(request[:n])
		err = reply(socket, fd, err)
		if fd >= 0 {
			unix.Close(fd)
		}
		if err != nil && !errors.Is(err, unix.EPIPE) {
			return os.NewSyscallError("sendmsg", err)
		}
	}
}

func reply(socket *os.File, fd int, err error) error {
	errno := unix.Errno(0)
	if err != nil && !errors.As(err, &errno) {
		errno = unix.EIO
	}
	return send(socket, binary.LittleEndian.AppendUint32(nil, uint32(errno)), fd)
}

// answer does what is asked and returns a descriptor to send and to close, or -1.
func (s *server) answer(request []byte) (fd int, err error) {
	if len(request) < requestHead || len(request) > requestHead+maxRemoteName {
		return -1, unix.EBADMSG
	}
	what, inode := request[0], binary.LittleEndian.Uint64(request[1:])
	name, from, isPair := strings.Cut(string(request[requestHead:]), "\x00")
	if what == askUnnamed {
		return s.makeUnnamed()
	}
	if !s.allows(what, s.kind(name)) || (what == askRename) != isPair {
		return -1, unix.EPERM
	}
	if what == askRename && (s.kind(from) != aTemporary || path.Dir(from) != path.Dir(name)) {
		return -1, unix.EPERM
	}
	folder, base, err := s.walk(name)
	if err != nil {
		return -1, err
	}
	defer unix.Close(folder)
	switch what {
	case askFolder:
		return unix.Openat(folder, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	case askCreate:
		return s.create(folder, base)
	case askLink:
		return -1, s.link(inode, folder, base)
	case askRename:
		return -1, renameNew(folder, path.Base(from), base)
	case askMkdir:
		return -1, s.mkdir(folder, base)
	case askRemove:
		if s.kind(name) == aFolder {
			return -1, unix.Unlinkat(folder, base, unix.AT_REMOVEDIR)
		}
		return -1, unix.Unlinkat(folder, base, 0)
	case askStat:
		return unix.Openat(folder, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	return openRegular(folder, base)
}

// kind is what of the series a name stands for.
type kind int

const (
	nothing kind = iota
	aFile
	aFolder    // "." is one, too
	aPin       // beside a file that is to stay
	aTemporary // of a file that is to get its name
)

// allows reports whether that may be asked for a name of that kind.
func (s *server) allows(what byte, k kind) bool {
	switch what {
	case askFolder, askMkdir:
		return k == aFolder
	case askCreate:
		return k == aTemporary
	case askLink, askRename:
		return k == aFile
	case askOpen:
		return k == aFile || k == aTemporary
	case askRemove:
		return k == aFile || k == aTemporary || k == aFolder
	case askStat:
		return k != nothing
	}
	return false
}

func (s *server) kind(name string) kind {
	if name == "." {
		return aFolder
	}
	elems := strings.Split(name, "/")
	last := len(elems) - 1
	if last > s.names.folders() {
		return nothing
	}
	for depth, elem := range elems[:last] {
		if !isName(elem) || !s.names.matches(depth, elem) {
			return nothing
		}
	}
	elem := elems[last]
	file, isPin := strings.CutSuffix(elem, pinSuffix)
	switch isFolder := last < s.names.folders(); {
	case !isName(elem):
		return nothing
	case isTemporary(elem):
		return aTemporary
	case isFolder && s.names.matches(last, elem):
		return aFolder
	case isFolder:
		return nothing
	case s.names.matches(last, elem):
		return aFile
	case isPin && s.names.matches(last, file):
		return aPin
	}
	return nothing
}

func isName(elem string) bool {
	return elem != "" && elem != "." && elem != ".." && !strings.ContainsAny(elem, "/\x00")
}

// walk opens the folder that a name stands in, from the directory downwards.
func (s *server) walk(name string) (folder int, base string, err error) {
	elems := strings.Split(name, "/")
	folder, err = openFolder(s.dir, ".")
	for _, elem := range elems[:len(elems)-1] {
		if err != nil {
			return -1, "", err
		}
		below, belowErr := openFolder(folder, elem)
		unix.Close(folder)
		folder, err = below, belowErr
	}
	return folder, elems[len(elems)-1], err
}

func openFolder(dir int, elem string) (int, error) {
	return unix.Openat(dir, elem, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

func (s *server) create(folder int, base string) (int, error) {
	fd, err := unix.Openat(folder, base, createFlags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return -1, err
	}
	if err := s.give(fd); err != nil {
		unix.Close(fd)
		return -1, errors.Join(err, unix.Unlinkat(folder, base, 0))
	}
	return fd, nil
}

// give gives what has just been made to its owner.
func (s *server) give(fd int) error {
	if !s.owner.Set {
		return nil
	}
	return unix.Fchown(fd, s.owner.UID, s.owner.GID)
}

func (s *server) mkdir(folder int, base string) error {
	if err := unix.Mkdirat(folder, base, 0o700); err != nil {
		return err
	}
	fd, err := unix.Openat(folder, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		err = s.give(fd)
		unix.Close(fd)
	}
	if err != nil {
		return errors.Join(err, unix.Unlinkat(folder, base, unix.AT_REMOVEDIR))
	}
	return nil
}

// openRegular opens no device and waits for nobody at a FIFO.
func openRegular(folder int, base string) (int, error) {
	fd, err := unix.Openat(folder, base, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EINVAL
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// makeUnnamed keeps a descriptor of what it returns, to link it.
func (s *server) makeUnnamed() (int, error) {
	const flags = unix.O_TMPFILE | unix.O_RDWR | unix.O_APPEND | unix.O_CLOEXEC
	fd, err := unix.Openat(s.dir, ".", flags, 0o600)
	if err == unix.EISDIR {
		err = unix.EOPNOTSUPP // see openUnnamed
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	kept, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		if err = errors.Join(unix.Fstat(fd, &st), s.give(fd)); err != nil {
			unix.Close(kept)
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unnamed = append(s.unnamed, unnamedFile{st.Ino, os.NewFile(uintptr(kept), "unnamed")})
	if len(s.unnamed) > maxUnnamed {
		s.unnamed[0].file.Close()
		s.unnamed = s.unnamed[1:]
	}
	return fd, nil
}

// link gives its name to an unnamed file that was made here. While it has none it stays
// here, for a name that was taken.
func (s *server) link(inode uint64, folder int, base string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.unnamed {
		if f.inode != inode {
			continue
		}
		if err := linkUnnamed(f.file, folder, base); err != nil {
			return err
		}
		s.unnamed = append(s.unnamed[:i:i], s.unnamed[i+1:]...)
		return f.file.Close()
	}
	return fmt.Errorf("inode %d: %w", inode, unix.ESTALE)
}
