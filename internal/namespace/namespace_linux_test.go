package namespace

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// mountNamespace moves the test to a thread with mounts of its own, so that
// /run/netns can be made there and shows nowhere else. The thread ends with it.
func mountNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Fatalf("new mount namespace: %v (this test needs root)", err)
	}
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"none", "/run", "tmpfs", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			t.Fatalf("mount %s: %v", m.target, err)
		}
	}
}

func TestDo(t *testing.T) {
	mountNamespace(t)
	for _, script := range []string{"ip netns add other", "ip -n other link add marker type veth peer name other0"} {
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	hasMarker := func() bool { _, err := net.InterfaceByName("marker"); return err == nil }
	for _, name := range []string{"other", "/run/netns/other"} {
		var inside bool
		told := errors.New("told")
		err := Do(name, func() error { inside = hasMarker(); return told })
		if !errors.Is(err, told) || !inside || hasMarker() {
			t.Errorf("%s: error %v, in it %t, outside %t", name, err, inside, hasMarker())
		}
	}
}

func TestDoErrors(t *testing.T) {
	mountNamespace(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		is   error
		text string
	}{
		{"", nil, "network namespace: the name is empty"},
		{"none", os.ErrNotExist, "network namespace none: file does not exist: see ip netns list, or make it with ip netns add none"},
		{file, unix.EINVAL, "enter network namespace " + file + ": invalid argument: it is none"},
	} {
		err := Do(tt.name, func() error { t.Error("was run"); return nil })
		if err == nil || err.Error() != tt.text || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%q: %v, want %s", tt.name, err, tt.text)
		}
	}
}

func TestExplain(t *testing.T) {
	if err := explain("x", unix.EPERM); !errors.Is(err, os.ErrPermission) ||
		err.Error() != "enter network namespace x: operation not permitted: this needs root or CAP_SYS_ADMIN" {
		t.Error(err)
	}
}
