package rotate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv names what the test binary does, as a process of its own, in place
// of the tests.
const childEnv = "ROTATE_TEST_CHILD"

func TestMain(m *testing.M) {
	child, dir := os.Getenv(childEnv), os.Getenv(childEnv+"_DIR")
	var err error
	switch child {
	case "":
		os.Exit(m.Run())
	case "prepare":
		err = childPrepare(dir)
	case "drop":
		err = childDrop(dir)
	case "make":
		err = childMake(dir)
	case "hook":
		err = childHook()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, child+":", err)
		os.Exit(1)
	}
}

func childCommand(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+what, childEnv+"_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
}

// childPrepare waits, with a file prepared, until it is killed.
func childPrepare(dir string) error {
	s, err := OpenSeries(Config{Name: dir + "/c", Suffix: testSuffix})
	if err != nil {
		return err
	}
	if err := s.Prepare(); err != nil {
		return err
	}
	if s.prepared == nil {
		return errors.New("nothing is prepared on this file system")
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func TestPreparedLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	cmd := childCommand(t, "prepare", dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		t.Errorf("the child said %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child was not killed")
	}
	wantFiles(t, dir)
}

const nobody = 65534

// childDrop goes on with a series as nobody.
func childDrop(dir string) error {
	s, err := OpenSeries(Config{Name: dir + "/c", Suffix: testSuffix, Inspect: inspect,
		Policy: Policy{Packets: 1, Files: 2}, Owner: Owner{Set: true, UID: nobody, GID: nobody}})
	if err != nil {
		return err
	}
	if err := errors.Join(s.Prepare(), syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
		return err
	}
	if _, err := os.ReadDir(dir); !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("the path can still be reached: %v", err)
	}
	for i := range 4 {
		at := start.Add(time.Duration(i) * time.Minute)
		f, err := s.make(at)
		if err != nil {
			return err
		}
		data := content(at, at, 50)
		_, err = f.Write(data)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		s.Closed(f, 50, Info{at.UnixNano(), at.UnixNano(), 1})
		_, err = s.Retain(at, 0, false)
		if err := errors.Join(err, s.Prepare()); err != nil {
			return err
		}
	}
	return s.Close()
}

// TestSeriesWithoutPrivileges: the directory is nobody's, but no one but root
// gets there by its path.
func TestSeriesWithoutPrivileges(t *testing.T) {
	needRoot(t)
	dir := t.TempDir() + "/closed/d"
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	if err := childCommand(t, "drop", dir).Run(); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, "c_00003_20261122161400.pcapng.zst", "c_00004_20261122161500.pcapng.zst")
}

// mount mounts a file system and unmounts it after the test.
func mount(t *testing.T, dir, kind, options string) {
	t.Helper()
	needRoot(t)
	if err := unix.Mount("tunrec-test", dir, kind, 0, options); err != nil {
		t.Fatalf("mount %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// TestRetainMinFree: on a small disk, as many old files go as have to.
func TestRetainMinFree(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "tmpfs", "size=1m")
	const minFree = 400 << 10
	s := open(t, dir+"/c", Policy{Packets: 1, MinFree: minFree})
	names := record(t, s, 10, 90<<10) // 92 KiB each: 104 KiB stay free
	removed, err := s.Retain(start, 0, false)
	if err != nil || len(removed) != 4 {
		t.Errorf("removed %v, %v; want 4", removed, err)
	}
	wantFiles(t, dir, names[4:]...)
	if free, _, err := s.dir.space(); err != nil || free < minFree {
		t.Errorf("%d bytes free, %v", free, err)
	}
	if removed, err := s.Retain(start, 0, false); err != nil || len(removed) > 0 {
		t.Errorf("then removed %v, %v", removed, err)
	}

	put(t, dir+"/other", strings.Repeat("x", 300<<10))
	s = open(t, dir+"/c", Policy{Packets: 1, MinFree: 800 << 10})
	removed, err = s.Retain(start, 0, false)
	if !errors.Is(err, ErrNothingLeft) || len(removed) != 6 {
		t.Errorf("next to a large file: removed %v, %v", removed, err)
	}
	wantFiles(t, dir, "other")
}

// TestSeriesOnFullAndReadOnlyDisk: the error tells, nothing is left behind,
// and it goes on when the disk is back.
func TestSeriesOnFullAndReadOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "tmpfs", "size=1m,nr_inodes=4") // the root takes one
	s := open(t, dir+"/c", Policy{})
	names := record(t, s, 3, 50)
	if _, err := s.Next(start); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("without inodes: %v", err)
	}
	if err := s.Prepare(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("without inodes: %v", err)
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		if err := unix.Mount("tunrec-test", dir, "tmpfs", unix.MS_REMOUNT|flags, "size=1m,nr_inodes=4"); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	if _, err := s.Next(start); !errors.Is(err, unix.EROFS) {
		t.Errorf("read-only: %v", err)
	}
	if _, err := OpenSeries(Config{Name: dir + "/c"}); !errors.Is(err, unix.EROFS) {
		t.Errorf("opened read-only: %v", err)
	}
	remount(0)
	f := next(t, s, start)
	if want := dir + "/c_00004_20261122161200.pcapng.zst"; f.Name() != want {
		t.Errorf("next: %s, want %s", f.Name(), want)
	}
}

// TestWithoutUnnamedFiles: where Prepare can open nothing, Next makes the file.
func TestWithoutUnnamedFiles(t *testing.T) {
	dir := t.TempDir()
	s, err := openSeries(Config{Name: dir + "/c", Suffix: testSuffix, Inspect: inspect}, func() (filesystem, error) {
		d, err := openDirectory(dir)
		return plainFiles{d}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Prepare(); err != nil || s.prepared != nil {
		t.Errorf("prepared %v, %v", s.prepared, err)
	}
	f := next(t, s, start)
	checkOpenFile(t, f)
	wantFiles(t, dir, filepath.Base(f.Name()))
}
