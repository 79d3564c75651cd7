package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/load"
)

const nobody = 65534

// dirOf makes a directory of a user, which that user can get at.
func dirOf(t *testing.T, uid int) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkThreads looks from outside at every thread of a process.
func checkThreads(t *testing.T, pid, uid int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) < 3 {
		t.Fatalf("threads %v, %v", files, err)
	}
	want := fmt.Sprintf(`Uid: %[1]d %[1]d %[1]d %[1]d
Gid: %[1]d %[1]d %[1]d %[1]d
Groups:
CapInh: 0000000000000000
CapPrm: 0000000000000000
CapEff: 0000000000000000
CapBnd: 0000000000000000
CapAmb: 0000000000000000
NoNewPrivs: 1
`, uid)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for line := range strings.Lines(string(b)) {
			key, _, _ := strings.Cut(line, ":")
			if strings.Contains(want, key+":") {
				got += strings.Join(strings.Fields(line), " ") + "\n"
			}
		}
		if got != want {
			t.Errorf("a thread has\n%swant\n%s", got, want)
		}
	}
}

// TestGivesUpRoot runs a series as nobody in a directory of nobody's: rotation,
// retention, hook, printname and signals work, nothing is left to any thread, and
// the hook writes where it may and nowhere else.
func TestGivesUpRoot(t *testing.T) {
	for _, ingest := range []string{"read", "auto"} {
		t.Run(ingest, func(t *testing.T) { giveUpRoot(t, ingest) })
	}
}

func giveUpRoot(t *testing.T, ingest string) {
	mustIsolate(t)
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/0")
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	dir, extra, elsewhere := dirOf(t, nobody), dirOf(t, nobody), dirOf(t, nobody)
	hook := filepath.Join(dirOf(t, 0), "hook.sh")
	script := fmt.Sprintf("#!/bin/sh\necho $(id -u) $HOME $USER $LOGNAME $XDG_RUNTIME_DIR $SSH_AUTH_SOCK >>hooked\ncat \"$1\" >/dev/null || ! test -e \"$1\" || exit 1\n"+ // it may be removed by then
		"echo x >>%s/x || exit 2\n! echo x 2>/dev/null >>%s/x || exit 3\n", extra, elsewhere)
	if err := os.WriteFile(hook, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := startSession(dir, "--json", "--user", "nobody", "--ingest", ingest, "-o", "a.pcapng", "-b", "packets:10", "-b", "files:3",
		"-b", "printname:names", "--hook", hook, "--hook-dir", extra, "--flush", "10ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	sendNumbered(t, load.Config{Packets: 60, PayloadBytes: 100})
	eventually(t, "files are removed", func() bool { return strings.Contains(s.stdout.String(), `"file_removed"`) })
	checkThreads(t, s.cmd.Process.Pid, nobody)
	sendNumbered(t, load.Config{Packets: 5, PayloadBytes: 100})
	if err := s.signal(unix.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	if c := end(t, s); c.recorded != 65 || c.lost() != 0 {
		t.Errorf("%+v", c)
	}
	if out := s.stdout.String(); strings.Count(out, `"exit_code":0`) != 7 || strings.Contains(out, `"error"`) {
		t.Errorf("events:\n%s", out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 3+len([]string{"hooked", "names"}) {
		t.Errorf("files %v, %v", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != nobody {
			t.Errorf("%s belongs to user %d", f, uid)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "hooked")); err != nil || string(b) != strings.Repeat("65534 /nonexistent nobody nobody\n", 7) {
		t.Errorf("the hook ran as %q, %v", b, err)
	}
}

// TestAnothersFile: an old file that only root can read stays, is told of once, and
// holds nothing up.
func TestAnothersFile(t *testing.T) {
	mustIsolate(t)
	dir := dirOf(t, nobody)
	old := filepath.Join(dir, "a_00001_20010101000000.pcapng.zst")
	if err := os.WriteFile(old, []byte("root's"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := startSession(dir, "--user", "nobody", "-o", "a.pcapng", "-b", "packets:10", "-b", "age:1h", "-b", "minfree:1MB")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	sendNumbered(t, load.Config{Packets: 40, PayloadBytes: 100})
	if c := end(t, s); c.recorded != 40 || c.lost() != 0 {
		t.Errorf("%+v", c)
	}
	if out := s.stderr.String(); strings.Count(out, filepath.Base(old)+" is kept, ") != 1 {
		t.Errorf("want one line about %s:\n%s", old, out)
	}
	if _, err := os.Stat(old); err != nil {
		t.Error(err)
	}
}

// TestWhoItBecomes: whom, by default, and who the file belongs to.
func TestWhoItBecomes(t *testing.T) {
	sudo := []string{"SUDO_USER=alice", "SUDO_UID=4242", "SUDO_GID=4242"}
	for _, test := range []struct {
		name   string
		env    []string
		prefix string
		owner  int // of the directory
		args   string
		want   string
		file   int // whose it is
	}{
		{name: "root's directory", want: "nobody, without capabilities; "},
		{name: "nobody's directory", owner: nobody, want: "nobody, without capabilities; ", file: nobody},
		{name: "by sudo", env: sudo, owner: 4242, want: "alice, without capabilities; ", file: 4242},
		{name: "by sudo in root's directory", env: sudo, want: "alice, without capabilities; ", file: 4242},
		{name: "a series by sudo in root's directory", env: sudo, args: "-b packets:1", want: "alice, without capabilities; "},
		{name: "owner", args: "--owner 4343:4344", want: "user 4343, without capabilities; ", file: 4343},
		{name: "owner root", args: "--owner root", env: sudo, owner: 4242, want: "alice, without capabilities; "},
		{name: "owner and user", args: "--owner 4343:4343 --user nobody", owner: nobody, want: "nobody, without capabilities; ", file: 4343},
		{name: "kept", args: "--keep-root", env: sudo, file: 4242},
		{name: "user with a capability", owner: nobody, file: nobody, want: "user 65534, as before, without capabilities; ",
			prefix: "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +net_admin --ambient-caps +net_admin"},
		{name: "user namespace", owner: nobody, file: nobody, want: "user 0, as before, without capabilities, in the groups that it may not leave; ",
			prefix: "setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Urn"},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustIsolate(t)
			openDriver(t)
			dir := dirOf(t, test.owner)
			argv := append(strings.Fields(test.prefix), "tunrec", "-v", "-o", "a.pcapng", "-a", "duration:1ms", "--empty-files")
			if !strings.Contains(test.args, "-b ") {
				argv = argv[:len(argv)-1]
			}
			argv = append(argv, strings.Fields(test.args)...)
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), test.env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_, who, _ := strings.Cut(string(out), "tunrec: running as ")
			if !strings.HasPrefix(who, test.want) || (who == "") != (test.want == "") {
				t.Errorf("running as %q, want %q:\n%s", who, test.want, out)
			}
			files, err := filepath.Glob(filepath.Join(dir, "a*.pcapng.zst"))
			if err != nil || len(files) == 0 {
				t.Fatalf("files %v, %v", files, err)
			}
			info, err := os.Stat(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != test.file {
				t.Errorf("the file belongs to user %d, want %d", uid, test.file)
			}
		})
	}
}

// openDriver lets every user run the command and make a device, as it is where udev
// runs.
func openDriver(t *testing.T) {
	t.Helper()
	command, err := exec.LookPath("tunrec")
	if err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(t.TempDir(), "tun")
	err = errors.Join(os.Chmod(filepath.Dir(filepath.Dir(command)), 0o755), unix.Mknod(node, unix.S_IFCHR, int(unix.Mkdev(10, 200))), os.Chmod(node, 0o666),
		unix.Mount(node, "/dev/net/tun", "", unix.MS_BIND, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/dev/net/tun", unix.MNT_DETACH) })
}
