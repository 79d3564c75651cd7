package privilege

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

const (
	readRights = ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSExecute
	dirRights  = ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSWriteFile | ll.AccessFSTruncate |
		ll.AccessFSMakeReg | ll.AccessFSMakeDir | ll.AccessFSRemoveFile | ll.AccessFSRemoveDir
	// Rights that are for files, too (linux/landlock.h).
	fileRights = ll.AccessFSExecute | ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate

	// Before this version the kernel lets nobody link from one directory to
	// another, and go-landlock would do nothing at all if that were asked for.
	abiWithRefer = 2
)

// confine leaves to this process and its children the files of c, and says so.
// What is open stays open.
//
// It stops at version 5 of the interface. Later ones would also cut off the
// sockets of the service manager and the signals to others.
func confine(c Config) (did, lacks string, err error) {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return "", fmt.Sprintf("no Landlock here (%s), so only file permissions say where it may write", whyNot(err)), nil
	}
	rights := landlock.AccessFSSet(dirRights)
	if abi >= abiWithRefer {
		rights |= ll.AccessFSRefer
	}
	rules := []landlock.Rule{landlock.RWFiles(os.DevNull).IgnoreIfMissing()}
	if len(c.Dirs) > 0 {
		rules = append(rules, landlock.PathAccess(rights, c.Dirs...))
	}
	for _, name := range c.Read {
		info, err := os.Stat(name)
		if err != nil {
			return "", "", fmt.Errorf("landlock: %w", err)
		}
		rights := landlock.AccessFSSet(readRights)
		if !info.IsDir() {
			rights &= fileRights
		}
		rules = append(rules, landlock.PathAccess(rights, name))
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		return "", "", fmt.Errorf("landlock: %w", err)
	}
	if len(c.Dirs) == 0 {
		return "; Landlock leaves it no place to write in", "", nil
	}
	return "; Landlock leaves it " + strings.Join(c.Dirs, ", ") + " to write in", "", nil
}

func whyNot(err error) string {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return "the kernel has it switched off: boot with lsm=landlock,..."
	case errors.Is(err, unix.EPERM):
		return "a filter of system calls forbids it"
	}
	return "it came with Linux 5.13"
}
