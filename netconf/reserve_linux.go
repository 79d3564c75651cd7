package netconf

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// reserve binds an abstract socket (unix(7)) that is called after the pair. Such
// names belong to the network namespace, as the addresses do, take no file, and
// are given up by the kernel when the process ends, however it ends: that is why
// the descriptor is kept nowhere.
//
// Any user may bind any name, so only root's and this user's sockets count. Beside
// those of others the pair is reserved by a name that nobody can have guessed.
func reserve(a Addr) bool {
	name := "@tunrec/" + a.String()
	err := bindAbstract(name)
	if !errors.Is(err, unix.EADDRINUSE) {
		return true // or only a race is lost, and Apply would tell
	}
	if holders, err := holdersOf(name); err != nil || holders {
		return false
	}
	_ = bindAbstract(name + "/" + rand.Text())
	return true
}

func bindAbstract(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	if err != nil {
		unix.Close(fd)
	}
	return err
}

// What sock_diag(7) tells of a socket of AF_UNIX (linux/unix_diag.h).
const (
	showName = 1 << 0 // UDIAG_SHOW_NAME
	showUID  = 1 << 6 // UDIAG_SHOW_UID, since Linux 5.3
	diagName = 0      // UNIX_DIAG_NAME
	diagUID  = 7      // UNIX_DIAG_UID
	diagLen  = 16     // struct unix_diag_msg
)

// unixDiagRequest is struct unix_diag_req.
type unixDiagRequest struct{ states, show uint32 }

func (unixDiagRequest) Len() int { return 24 }

func (r unixDiagRequest) Serialize() []byte {
	b := make([]byte, r.Len())
	b[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(b[4:], r.states)
	binary.NativeEndian.PutUint32(b[12:], r.show)
	return b
}

// holdersOf reports whether root or this user has a socket of that name, or of one
// below it.
func holdersOf(name string) (bool, error) {
	req := nl.NewNetlinkRequest(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	req.AddData(unixDiagRequest{states: 1<<32 - 1, show: showName | showUID})
	sockets, err := req.Execute(unix.NETLINK_SOCK_DIAG, 0)
	if err != nil {
		return false, fmt.Errorf("list the sockets of AF_UNIX: %w", err)
	}
	abstract := []byte("\x00" + name[1:])
	for _, b := range sockets {
		if len(b) < diagLen {
			continue
		}
		attrs, err := nl.ParseRouteAttr(b[diagLen:])
		if err != nil {
			return false, err
		}
		named, uid := false, os.Geteuid() // a kernel that does not tell is believed
		for _, attr := range attrs {
			switch attr.Attr.Type {
			case diagName:
				rest, ok := bytes.CutPrefix(attr.Value, abstract)
				named = ok && (len(rest) == 0 || rest[0] == '/')
			case diagUID:
				uid = int(binary.NativeEndian.Uint32(attr.Value))
			}
		}
		if named && (uid == 0 || uid == os.Geteuid()) {
			return true, nil
		}
	}
	return false, nil
}
