package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/load"
)

// helperOf returns the process that is a helper of a session, of this kind.
func helperOf(t *testing.T, s *session, kind string) (pid int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list) // a thread may have ended
		for _, child := range strings.Fields(string(children)) {
			args, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if a := strings.Split(string(args), "\x00"); len(a) > 2 && a[1] == "__helper" && a[2] == kind {
				if pid, err = strconv.Atoi(child); err != nil {
					t.Fatal(err)
				}
				return pid
			}
		}
	}
	t.Fatalf("%v has no helper for %s", s.cmd.Args, kind)
	return 0
}

// TestRootsDirectory: in a directory of root's the recorder is nobody, and so is the
// hook; rotation, retention, signals work; the files are root's, or the hook's. What
// makes them has no capability that it does not need, and outlives signals that are for
// the recorder.
func TestRootsDirectory(t *testing.T) {
	for _, test := range []struct {
		name, hook, files string
		caps              string // of the helper
		owner             int
	}{
		{"numbers", "", "a.pcapng", "0000000000000000", 0},
		{"pattern", "", "%Y/%m/%d-%H%M%S.pcapng", "0000000000000000", 0},
		{"hook", "#!/bin/sh\necho \"$(id -u) $(head -c 4 \"$1\" | wc -c)\" >>hooked/all", "%Y/%m/%d-%H%M%S.pcapng", "0000000000000003", nobody},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustIsolate(t)
			dir := dirOf(t, 0)
			args := []string{"--json", "-o", test.files, "-b", "packets:10", "-b", "files:3", "--flush", "10ms"}
			if test.hook != "" {
				hook := filepath.Join(dir, "hook.sh")
				hooked := filepath.Join(dir, "hooked")
				if err := os.WriteFile(hook, []byte(test.hook), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(hooked, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.Chown(hooked, nobody, nobody); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--hook", hook, "--hook-dir", "hooked")
			}
			s, err := startSession(dir, args...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.kill)
			if !strings.Contains(s.stderr.String(), " as nobody\n") {
				t.Errorf("no word of nobody:\n%s", &s.stderr)
			}
			checkThreads(t, s.cmd.Process.Pid, nobody)
			helper := helperOf(t, s, "directory")
			checkHelper(t, helper, test.caps)
			for _, signal := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2} {
				if err := syscall.Kill(helper, signal); err != nil {
					t.Error(err)
				}
			}
			sendNumbered(t, load.Config{Packets: 60, PayloadBytes: 100})
			eventually(t, "files are removed", func() bool { return strings.Contains(s.stdout.String(), `"file_removed"`) })
			if c := end(t, s); c.recorded != 60 || c.lost() != 0 {
				t.Errorf("%+v", c)
			}
			checkOwner(t, dir, test.owner)
			if b, _ := os.ReadFile(filepath.Join(dir, "hooked/all")); test.hook != "" && string(b) == "" || strings.Trim(string(b), "65340 \n") != "" {
				t.Errorf("the hook ran as %q", b)
			}
		})
	}
}

// checkHelper looks at every thread of a helper that makes files.
func checkHelper(t *testing.T, pid int, caps string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"CapInh:\t0000000000000000", "CapPrm:\t" + caps, "CapEff:\t" + caps, "CapBnd:\t0000000000000000",
			"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Groups:\t "} {
			if !strings.Contains(string(b), "\n"+line+"\n") {
				t.Errorf("no %q in %s:\n%s", line, f, b)
			}
		}
	}
}

func checkOwner(t *testing.T, dir string, owner int) {
	t.Helper()
	captures := 0
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".pcapng.zst") {
			return err
		}
		captures++
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			return err
		}
		if int(st.Uid) != owner || st.Mode&0o777 != 0o600 {
			t.Errorf("%s: mode %o, user %d, want %d", name, st.Mode, st.Uid, owner)
		}
		return nil
	})
	if err != nil || captures != 3 {
		t.Errorf("%d captures, %v", captures, err)
	}
}

// TestHelperIsKilled: without what makes its files a recording ends, with the present
// file whole.
func TestHelperIsKilled(t *testing.T) {
	mustIsolate(t)
	dir := dirOf(t, 0)
	s, err := startSession(dir, "--json", "-o", "a.pcapng", "-b", "packets:1000", "--flush", "10ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	sendNumbered(t, load.Config{Packets: 10, PayloadBytes: 100})
	eventually(t, "a file is there", func() bool { return strings.Contains(s.stdout.String(), `"file_opened"`) })
	if err := syscall.Kill(helperOf(t, s, "directory"), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, err := s.wait(); code != exitFailed || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if want := "tunrec: error: the helper that makes files: signal: killed"; !strings.Contains(s.stderr.String(), want) {
		t.Errorf("no %q in:\n%s", want, &s.stderr)
	}
	if c, err := parseCounts(s.stderr.String()); err != nil || c.recorded != 10 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestRecorderIsKilled: then its helpers end, too.
func TestRecorderIsKilled(t *testing.T) {
	mustIsolate(t)
	dir := dirOf(t, 0)
	s, err := startSession(dir, "-o", "a.pcapng", "-b", "packets:10", "--hook", "/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	helpers := []int{helperOf(t, s, "directory"), helperOf(t, s, "hook")}
	s.kill()
	for _, pid := range helpers {
		eventually(t, "the helper ends", func() bool {
			args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return err != nil || len(args) == 0 // it waits to be waited for
		})
	}
}
