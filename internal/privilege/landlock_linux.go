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
// Where c gives up system calls, it takes all that the kernel's Landlock can: network,
// sockets and signals of others. Else it stops at version 5 of the interface, and at
// files: what a hook needs besides is not known.
func confine(c Config) (did, lacks string, err error) {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return "", fmt.Sprintf("no Landlock here (%s), so only file permissions say where it may write", whyNot(err)), nil
	}
	rights := landlock.AccessFSSet(dirRights)
	if abi >= abiWithRefer {
		rights |= ll.AccessFSRefer
	}
	var rules []landlock.Rule
	if c.Calls == AllCalls {
		rules = append(rules, landlock.RWFiles(os.DevNull).IgnoreIfMissing())
	}
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
	if c.Calls == AllCalls {
		err = landlock.V5.BestEffort().RestrictPaths(rules...)
	} else {
		err = everything(abi).BestEffort().Restrict(rules...)
	}
	if err != nil {
		return "", "", fmt.Errorf("landlock: %w", err)
	}
	if len(c.Dirs) == 0 {
		return "; Landlock leaves it no place to write in", "", nil
	}
	return "; Landlock leaves it " + strings.Join(c.Dirs, ", ") + " to write in", "", nil
}

// everything leaves out the scope of signals where it would cut off the threads of this
// process from each other, which Go needs: Linux 6.12 as it came out
// (security/landlock/errata/abi-6.h). Versions that restrict all threads at once never do.
func everything(abi int) landlock.Config {
	const (
		signalErratum = 1 << (2 - 1)
		restrictsAll  = 8 // landlock_restrict_self(2) with LANDLOCK_RESTRICT_SELF_TSYNC
	)
	c := landlock.V11
	if errata, err := ll.LandlockGetErrata(); abi < restrictsAll && (err != nil || errata&signalErratum == 0) {
		c.Scoped &^= ll.ScopeSignal
	}
	return c
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
