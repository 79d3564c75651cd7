package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const folder = "/run/netns"

func do(name string, f func() error) error {
	if name == "" {
		return errors.New("network namespace: the name is empty")
	}
	path := name
	if !strings.Contains(name, "/") {
		path = filepath.Join(folder, name)
	}
	ns, err := os.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("network namespace %s: %w: see ip netns list, or make it with ip netns add %s", name, os.ErrNotExist, name)
	case err != nil:
		return fmt.Errorf("network namespace %s: %w", name, err)
	}
	defer ns.Close()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer home.Close()
	result := make(chan error)
	go func() { result <- onThread(name, int(ns.Fd()), int(home.Fd()), f) }()
	return <-result
}

// onThread must run in a goroutine of its own: a thread that does not find home
// stays locked, and so ends with it.
func onThread(name string, ns, home int, f func() error) error {
	runtime.LockOSThread()
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return explain(name, err)
	}
	err := f()
	if unix.Setns(home, unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

func explain(name string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("enter network namespace %s: %w: this needs root or CAP_SYS_ADMIN", name, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("enter network namespace %s: %w: it is none", name, err)
	}
	return fmt.Errorf("enter network namespace %s: %w", name, err)
}
