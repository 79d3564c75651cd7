// Package privilege gives up root for good: the identity, the groups, the
// capabilities of every thread, the ways to get them back (no_new_privs, the
// bounding set) and, where Linux has Landlock, all files but those named.
//
// Open what needs privilege first: the device, its addresses, the files, the
// directory of a series (by a descriptor, as os.Root does). Then call Drop.
// Children, such as hooks, are bound by it, too.
//
//	privilege.go         what to give up, and to whom
//	user.go              users by name, and who is the right one
//	privilege_linux.go   identity, groups, capabilities
//	landlock_linux.go    files, network, other processes
//	calls_linux.go       system calls
//	writable_linux.go    asking what another user may do
package privilege

import (
	"fmt"
	"time"
)

// Config says what remains. The zero Config keeps the user and loses everything
// else: on Linux all capabilities, and all files that are not open already.
type Config struct {
	// User to become; needs root. The zero User stays who the process is.
	User User
	// Dirs are the directories in which files are made, read, linked and
	// removed from now on, in folders below them, too. Linux.
	Dirs []string
	// Read are files and directories that are read and run from now on: those
	// of a hook, as "/". Linux.
	Read []string
	// Calls are the system calls that remain. Where any are given up, neither network
	// nor other processes can be reached, but by what is open already. Linux.
	Calls Calls
	// Capabilities are kept, by their numbers (capabilities(7)). Linux.
	Capabilities []int
}

// Calls are system calls, besides those that Go's runtime needs. Nothing is written to a
// tun device.
//
// What a library might try, as to open a socket, fails with EPERM. What nobody but an
// intruder tries, as to run a program, ends the process by SIGSYS.
type Calls int

const (
	AllCalls   Calls = iota // for one that runs programs of others
	UseOpen                 // to read, write and sync what is open already
	MakeFiles               // and to make, open and remove files in Dirs
	ServeFiles              // and to do that for another process, by descriptor
)

// Drop does it, for all threads of the process, and says in words what it did,
// as in "running as alice, without capabilities; Landlock leaves it /srv/captures
// to write in", and what this system cannot do, "" if it can do all.
//
// After an error the process may have lost some of its privileges: end it. It
// wraps os.ErrPermission where root is needed to become User, and
// errors.ErrUnsupported where the system is neither Linux nor macOS.
func Drop(c Config) (did, lacks string, err error) {
	// The time zone is read from a file when it is first needed.
	_, _ = time.Now().Zone()
	did, lacks, err = drop(c)
	if err != nil {
		return "", "", fmt.Errorf("give up privileges: %w", err)
	}
	return did, lacks, nil
}

// CanWrite tells, by an error, whether this process can become u, and u could make,
// list and remove files in directories after Drop, if they were opened before it:
// on Linux only a directory itself has to be open to u, not the path to it.
func CanWrite(u User, dirs ...string) error {
	if err := canBecome(u); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := canWrite(u, dir); err != nil {
			return fmt.Errorf("%s cannot make files in %s: %w", u, dir, err)
		}
	}
	return nil
}

// CanReach tells, by an error, whether the children of u, such as hooks, could read in
// directories: they have to walk the path there.
func CanReach(u User, dirs ...string) error { return reach(u, canRead, "read in it", dirs) }

// CanReachToWrite is CanReach for children that make files there, too.
func CanReachToWrite(u User, dirs ...string) error {
	return reach(u, canReach, "write in it", dirs)
}

func reach(u User, can func(User, string) error, do string, dirs []string) error {
	if err := canBecome(u); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := can(u, dir); err != nil {
			return fmt.Errorf("a hook of %s cannot reach %s by its path and %s: %w", u, dir, do, err)
		}
	}
	return nil
}

// CanRun tells, by an error, whether u could run a program after Drop.
func CanRun(u User, program string) error {
	err := canBecome(u)
	if err == nil {
		err = canRun(u, program)
	}
	if err != nil {
		return fmt.Errorf("%s cannot run %s: %w", u, program, err)
	}
	return nil
}
