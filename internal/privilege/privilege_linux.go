package privilege

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// drop goes from the outside in: the ways back are closed and the files are
// chosen while root can still do so, then root is left, then what is left of
// its capabilities, and last the system calls that all this took.
//
// Credentials belong to a thread in Linux. package syscall and psx change those
// of all threads at once; x/sys/unix would change only this one's.
func drop(c Config) (did, lacks string, err error) {
	kept := capabilities(c.Capabilities)
	var calls *seccomp.Filter
	if c.Calls != AllCalls {
		if calls, err = newFilter(c.Calls); err != nil {
			return "", "", err
		}
	}
	if err := emptyBoundingSet(); err != nil {
		return "", "", err
	}
	if err := allThreads("prctl PR_SET_NO_NEW_PRIVS", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return "", "", err
	}
	confined, lacks, err := confine(c)
	if err != nil {
		return "", "", err
	}
	groups, err := become(c.User)
	if err != nil {
		return "", "", err
	}
	if err := keepCapabilities(kept); err != nil {
		return "", "", err
	}
	if err := verify(c.User, kept); err != nil {
		return "", "", err
	}
	if parentDeath != 0 {
		if err := allThreads("prctl PR_SET_PDEATHSIG", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(parentDeath)); err != nil {
			return "", "", err
		}
	}
	filtered := ""
	if c.Calls != AllCalls {
		var lack string
		if filtered, lack, err = load(calls); err != nil {
			return "", "", err
		}
		lacks = strings.Trim(lacks+"; "+lack, "; ")
	}
	who := c.User.String()
	if c.User == (User{}) {
		who = fmt.Sprintf("user %d, as before", os.Geteuid())
	}
	return "running as " + who + ", without capabilities" + groups + confined + filtered, lacks, nil
}

// emptyBoundingSet keeps programs with file capabilities from getting them. It
// takes CAP_SETPCAP; without that no_new_privs alone has to do.
func emptyBoundingSet() error {
	for c := uintptr(0); ; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			return nil // there are no more
		}
		if has == 0 {
			continue
		}
		err = allThreads("prctl PR_CAPBSET_DROP", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
		if errors.Is(err, unix.EPERM) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// become returns what the report has to say about groups. They cannot be left by
// root without CAP_SETGID, nor in a user namespace that an unprivileged user
// made, because a group can also forbid (user_namespaces(7)).
func become(u User) (groups string, err error) {
	if os.Geteuid() != 0 {
		return "", canBecome(u)
	}
	err = syscall.Setgroups(nil)
	if errors.Is(err, unix.EPERM) {
		groups, err = ", in the groups that it may not leave", nil
	}
	if err != nil {
		return "", fmt.Errorf("leave all groups: %w", err)
	}
	if u == (User{}) {
		return groups, nil
	}
	if err := syscall.Setresgid(u.GID, u.GID, u.GID); err != nil {
		return "", fmt.Errorf("change to group %d: %w", u.GID, err)
	}
	if err := syscall.Setresuid(u.UID, u.UID, u.UID); err != nil {
		return "", fmt.Errorf("become %s: %w", u, err)
	}
	return groups, nil
}

// parentDeath is the signal that this process is to get when its parent ends, as
// by setpriv --pdeathsig. Only the main thread has it, which is the one that
// initializes packages, and every change of user clears it, that of CanWrite, too.
var parentDeath = func() (signal int32) {
	_ = unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0, 0, 0) // 0 where it fails
	return signal
}()

// isRoot tells whether user 0 of this process is that of the machine: in a user
// namespace it mostly is another (user_namespaces(7)).
func isRoot() bool {
	if os.Geteuid() != 0 {
		return false
	}
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return true // without /proc, or without namespaces
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "0" {
			return f[1] == "0"
		}
	}
	return true
}

func canBecome(u User) error { return as(u, func() error { return nil }) }

// capabilities are no more than this process has: none that are inherited.
func capabilities(numbers []int) (set [2]unix.CapUserData) {
	for _, n := range numbers {
		set[n/32].Effective |= 1 << (n % 32)
		set[n/32].Permitted |= 1 << (n % 32)
	}
	return set
}

// keepCapabilities also empties the ambient set, which is never more than the
// inheritable one.
func keepCapabilities(kept [2]unix.CapUserData) error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(&kept)), 0)
	if errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}

// allThreads makes a system call of two arguments on every thread.
func allThreads(name string, number, a, b uintptr) error {
	if _, _, errno := psx.Syscall6(number, a, b, 0, 0, 0, 0); errno != 0 {
		return os.NewSyscallError(name, errno)
	}
	return nil
}

// verify trusts no call above.
func verify(u User, kept [2]unix.CapUserData) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var left [2]unix.CapUserData
	if err := unix.Capget(&header, &left[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	if left != kept {
		return fmt.Errorf("capabilities are left: %+v", left)
	}
	if u.UID != 0 && unix.Setuid(0) == nil {
		return errors.New("root can be taken back")
	}
	return nil
}
