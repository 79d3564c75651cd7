package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// drop has no more to give up than user and groups: macOS knows no capabilities.
func drop(c Config) (did, lacks string, err error) {
	if err := canBecome(c.User); err != nil {
		return "", "", err
	}
	if c.User == (User{}) || os.Geteuid() != 0 {
		return fmt.Sprintf("running as user %d, as before", os.Geteuid()), "", nil
	}
	// An empty list of groups would still leave the effective group in it.
	if err := syscall.Setgroups([]int{c.User.GID}); err != nil {
		return "", "", fmt.Errorf("leave all groups: %w", err)
	}
	if err := syscall.Setgid(c.User.GID); err != nil {
		return "", "", fmt.Errorf("change to group %d: %w", c.User.GID, err)
	}
	if err := syscall.Setuid(c.User.UID); err != nil {
		return "", "", fmt.Errorf("become %s: %w", c.User, err)
	}
	if c.User.UID != 0 && syscall.Setuid(0) == nil {
		return "", "", errors.New("root can be taken back")
	}
	return fmt.Sprintf("running as %s", c.User), "", nil
}

// isRoot: macOS has no user namespaces.
func isRoot() bool { return os.Geteuid() == 0 }

func canBecome(u User) error {
	if u == (User{}) || u.UID == os.Geteuid() || os.Geteuid() == 0 {
		return nil
	}
	return fmt.Errorf("become %s: only root can: %w", u, os.ErrPermission)
}

// canWrite also walks the path with the rights of u.
func canWrite(u User, dir string) error {
	return test(u, "-r", dir, "-a", "-w", dir, "-a", "-x", dir)
}

func canReach(u User, dir string) error { return canWrite(u, dir) }

func canRead(u User, dir string) error { return test(u, "-r", dir, "-a", "-x", dir) }

func canRun(u User, program string) error { return test(u, "-x", program) }

// test has test(1) look with the rights of u, access lists included.
func test(u User, args ...string) error {
	if err := canBecome(u); err != nil {
		return err
	}
	cmd := exec.Command("/bin/test", args...)
	if u != (User{}) && os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
			Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: []uint32{uint32(u.GID)}}}
	}
	err := cmd.Run()
	if errors.As(err, new(*exec.ExitError)) {
		return os.ErrPermission
	}
	return err
}
