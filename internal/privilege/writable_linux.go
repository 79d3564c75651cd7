package privilege

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func canWrite(u User, dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return as(u, func() error {
		return unix.Faccessat(int(d.Fd()), ".", unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	})
}

func canReach(u User, dir string) error {
	return as(u, func() error {
		return unix.Faccessat(unix.AT_FDCWD, dir, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	})
}

func canRead(u User, dir string) error {
	return as(u, func() error {
		return unix.Faccessat(unix.AT_FDCWD, dir, unix.R_OK|unix.X_OK, unix.AT_EACCESS)
	})
}

func canRun(u User, program string) error {
	return as(u, func() error { return unix.Faccessat(unix.AT_FDCWD, program, unix.X_OK, unix.AT_EACCESS) })
}

// as runs f on a thread that has, for files, the rights that u has after Drop:
// its ids, no groups, no capabilities. Then it takes the thread's own back; a
// thread for which that failed ends.
func as(u User, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		back, err := assume(u)
		if err == nil {
			err = f()
		}
		if backErr := back(); backErr != nil {
			err = errors.Join(err, fmt.Errorf("take back the thread's rights: %w", backErr))
		} else {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// assume changes the calling thread only, and only what can be changed back:
// the ids for files, and not the permitted capabilities.
func assume(u User) (back func() error, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	back = func() error { return nil }
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return back, os.NewSyscallError("capget", err)
	}
	if u != (User{}) && u.UID != os.Geteuid() && os.Geteuid() != 0 {
		return back, fmt.Errorf("become %s: only root can: %w", u, os.ErrPermission)
	}
	if os.Geteuid() == 0 {
		if back, err = assumeIDs(u); err != nil {
			return back, err
		}
	}
	weak := caps
	weak[0].Effective, weak[1].Effective = 0, 0
	err = unix.Capset(&header, &weak[0])
	if errors.Is(err, unix.EPERM) {
		return back, nil // a filter of system calls forbids it, of which Drop will tell
	}
	backIDs := back
	back = func() error {
		// First: going back to the ids takes capabilities.
		return errors.Join(os.NewSyscallError("capset", unix.Capset(&header, &caps[0])), backIDs())
	}
	return back, os.NewSyscallError("capset", err)
}

// assumeIDs sets groups and fsuid, fsgid (setfsuid(2)).
func assumeIDs(u User) (back func() error, err error) {
	back = func() error { return nil }
	groups, err := unix.Getgroups()
	if err != nil {
		return back, os.NewSyscallError("getgroups", err)
	}
	if err := unix.Setgroups(nil); err == nil {
		back = func() error { return os.NewSyscallError("setgroups", unix.Setgroups(groups)) }
	} else if !errors.Is(err, unix.EPERM) { // as in become
		return back, os.NewSyscallError("setgroups", err)
	}
	if u == (User{}) {
		return back, nil
	}
	backGroups := back
	back = func() error {
		return errors.Join(setFSIDs(os.Geteuid(), os.Getegid()), backGroups())
	}
	if err := setFSIDs(u.UID, u.GID); err != nil {
		return back, fmt.Errorf("cannot become %s: %w", u, err)
	}
	return back, nil
}

// setFSIDs looks whether it worked, because the calls never fail.
func setFSIDs(uid, gid int) error {
	// -1 is no id, so these calls only read.
	_ = unix.Setfsgid(gid)
	_ = unix.Setfsuid(uid)
	nowUID, _ := unix.SetfsuidRetUid(-1)
	nowGID, _ := unix.SetfsgidRetGid(-1)
	if nowUID != uid || nowGID != gid {
		return errors.New("this process lacks CAP_SETUID or CAP_SETGID, or its user namespace lacks that user")
	}
	return nil
}
