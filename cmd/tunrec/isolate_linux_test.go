package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// isolate gives the calling goroutine, and every process that it starts, a
// network namespace and a mount namespace of their own. Its thread is locked
// for good and ends with the goroutine; what was made in the namespaces goes
// with them.
func isolate() error {
	if os.Geteuid() != 0 {
		return errors.New("the tests make tun devices and mounts in namespaces of their own: run them as root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("new network and mount namespaces: %w", err)
	}
	// What is mounted here must not show outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func mustIsolate(t testing.TB) {
	t.Helper()
	if err := isolate(); err != nil {
		t.Fatal(err)
	}
}
