package rotate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A request is one datagram: what to do, an inode number, a name. So is its answer: an
// errno, 0 for success, and with it a descriptor where there is one to have.
//
//	request  0 what   1..8 inode   9.. name, at most maxRemoteName bytes
//	answer   0..3 errno            and SCM_RIGHTS
//
// Numbers are little-endian. All names are of the series, as naming knows them, or
// temporary ones. That of askRename is the new one, and behind a zero byte the old one.
const (
	askFolder  = iota + 1 // the descriptor of a folder, to list and to sync
	askCreate             // that of a new file, under a temporary name
	askUnnamed            // that of a new file without a name
	askLink               // give the unnamed file of that inode its name
	askRename             // give the file with a temporary name its own, in the same folder
	askMkdir
	askRemove // a file or an empty folder
	askStat   // a descriptor that only tells what the name stands for (O_PATH)
	askOpen   // that of a regular file, for reading

	requestHead   = 9
	maxRemoteName = 1024
	answerLen     = 4
)

// remote is the filesystem that asks a helper.
type remote struct {
	path   string
	helper *Helper
	self   *os.File // the directory
}

func openRemote(h *Helper, dir string) (filesystem, error) {
	r := &remote{path: dir, helper: h}
	var err error
	if r.self, err = r.ask(askFolder, ".", 0); err != nil {
		return nil, fmt.Errorf("open the directory of a series by a helper: %w", err)
	}
	return r, nil
}

var errHelperGone = errors.New("the helper that makes files has ended")

// ask returns an open file where the request has one for an answer.
func (r *remote) ask(what byte, name string, inode uint64) (*os.File, error) {
	if len(name) > maxRemoteName {
		return nil, &fs.PathError{Op: "ask for", Path: name, Err: unix.ENAMETOOLONG}
	}
	socket := <-r.helper.lanes
	defer func() { r.helper.lanes <- socket }()
	request := binary.LittleEndian.AppendUint64([]byte{what}, inode)
	if err := send(socket, append(request, name...), -1); err != nil {
		return nil, fmt.Errorf("%w: %w", errHelperGone, err)
	}
	var answer [answerLen + 1]byte
	n, fd, err := receive(socket, answer[:])
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errHelperGone, err)
	case n != answerLen:
		err = errHelperGone
	default:
		if errno := unix.Errno(binary.LittleEndian.Uint32(answer[:])); errno != 0 {
			err = &fs.PathError{Op: "ask for", Path: name, Err: errno}
		}
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, err
	}
	if fd < 0 {
		return nil, nil
	}
	return os.NewFile(uintptr(fd), filepath.Join(r.path, name)), nil
}

// send sends a datagram, and a descriptor with it unless it is -1.
func send(socket *os.File, message []byte, fd int) error {
	for {
		var err error
		if fd < 0 {
			_, err = unix.Write(int(socket.Fd()), message)
		} else {
			err = unix.Sendmsg(int(socket.Fd()), message, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
		}
		if err != unix.EINTR {
			return err
		}
	}
}

// receive returns the length of a datagram, 0 when the other end is closed, and the
// descriptor that came with it, or -1.
func receive(socket *os.File, message []byte) (n, fd int, err error) {
	rights := make([]byte, unix.CmsgSpace(4))
	var rightsLen int
	for {
		n, rightsLen, _, _, err = unix.Recvmsg(int(socket.Fd()), message, rights, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil || rightsLen == 0 {
		return n, -1, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsLen])
	if err != nil || len(messages) != 1 {
		return n, -1, errors.Join(err, unix.EBADMSG)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return n, -1, errors.Join(err, unix.EBADMSG)
	}
	return n, fds[0], nil
}

func (r *remote) create(name string) (*os.File, error) { return r.ask(askCreate, name, 0) }

func (r *remote) unnamed() (*os.File, error) { return r.ask(askUnnamed, ".", 0) }

func (r *remote) link(f *os.File, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	_, err := r.ask(askLink, name, st.Ino)
	return err
}

func (r *remote) rename(from, to string) error {
	_, err := r.ask(askRename, to+"\x00"+from, 0)
	return err
}

func (r *remote) mkdir(name string) error {
	_, err := r.ask(askMkdir, name, 0)
	return err
}

// chown has been done by mkdir.
func (r *remote) chown(string, int, int) error { return nil }

func (r *remote) remove(name string) error {
	_, err := r.ask(askRemove, name, 0)
	return err
}

func (r *remote) lstat(name string) (fs.FileInfo, error) {
	f, err := r.ask(askStat, name, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

func (r *remote) open(name string) (*os.File, error) { return r.ask(askOpen, name, 0) }

func (r *remote) list(folder string) ([]string, error) {
	f, err := r.ask(askFolder, folder, 0)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (r *remote) sync(folder string) error {
	if folder == "." {
		return syncOpen(r.self)
	}
	f, err := r.ask(askFolder, folder, 0)
	if err != nil {
		return err
	}
	return errors.Join(syncOpen(f), f.Close())
}

func (r *remote) space() (free, size uint64, err error) {
	if free, size, err = space(r.self); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", r.path, err)
	}
	return free, size, nil
}

func (r *remote) close() error { return r.self.Close() }
