package privilege

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What Drop does cannot be undone, so it is done in a child: this binary again,
// with the name of what to do in the environment.
const envChild = "TUNREC_PRIVILEGE_TEST"

func TestMain(m *testing.M) {
	name := os.Getenv(envChild)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](os.Args[1:]); err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
}

var children = map[string]func(args []string) error{
	"nobody":      dropToNobody,
	"hook":        runHook,
	"keep user":   dropAsWhoWeAre,
	"old kernel":  func([]string) error { return dropWithout(unix.SYS_LANDLOCK_CREATE_RULESET, unix.ENOSYS) },
	"no landlock": func([]string) error { return dropWithout(unix.SYS_LANDLOCK_CREATE_RULESET, unix.EPERM) },
	"no capset":   func([]string) error { return dropWithout(unix.SYS_CAPSET, unix.EPERM) },
	"record":      recordOn,
	"crash":       crash,
	"work":        work,
}

// child is the command that runs one of children, by way of a program such as
// setpriv where prefix has one.
func child(t *testing.T, name string, prefix []string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test gives up root: it has to begin with it")
	}
	argv := append(append(prefix, binary(t)), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), envChild+"="+name)
	return cmd
}

// binary is this one where everybody can run it.
func binary(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(openDir(t), "privilege.test")
	if err := os.WriteFile(name, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// openDir is a directory that everybody can write in.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// dump lists what every thread of a process may do.
func dump(t *testing.T, pid int) (threads []string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(line, ":")
			switch key {
			case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs":
				lines = append(lines, strings.Join(append([]string{key}, strings.Fields(value)...), " "))
			}
		}
		threads = append(threads, strings.Join(lines, "\n"))
	}
	return threads
}

const nothing = `Groups
CapInh 0000000000000000
CapPrm 0000000000000000
CapEff 0000000000000000
CapBnd 0000000000000000
CapAmb 0000000000000000
NoNewPrivs 1`

// TestDropLeavesNothing looks from outside at every thread of a process that has
// become nobody, with threads that were there before, and after it has tried
// what it should still be able to do and what not.
func TestDropLeavesNothing(t *testing.T) {
	home, elsewhere := openDir(t), openDir(t)
	// The path to the directory is closed to nobody: only a descriptor leads there.
	closed := filepath.Dir(home)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "nobody", nil, home, elsewhere)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	want := "running as nobody, without capabilities; Landlock leaves it " + home + " to write in\n"
	if line != want {
		t.Errorf("child said %q, want %q", line, want)
	}
	threads := dump(t, cmd.Process.Pid)
	if len(threads) < 8 {
		t.Errorf("only %d threads", len(threads))
	}
	nobody, err := ParseUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	u, g := nobody.UID, nobody.GID
	ids := fmt.Sprintf("Uid %d %d %d %d\nGid %d %d %d %d\n", u, u, u, u, g, g, g, g)
	for _, got := range threads {
		if got != ids+nothing {
			t.Errorf("a thread has\n%s\nwant\n%s", got, ids+nothing)
		}
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestHook(t *testing.T) {
	home, elsewhere := openDir(t), openDir(t)
	if out, err := child(t, "hook", nil, home, elsewhere).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRecordingGoesOn: a device, its counters and a series of files work on after
// the drop, in a network namespace of their own.
func TestRecordingGoesOn(t *testing.T) {
	home := openDir(t)
	if err := os.Chmod(filepath.Dir(home), 0o700); err != nil { // only a descriptor leads there
		t.Fatal(err)
	}
	for _, ingest := range []string{"read", "ring"} {
		out, err := child(t, "record", []string{"unshare", "-n"}, home, ingest).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", ingest, err, out)
		}
	}
}

func TestDropWithoutRoot(t *testing.T) {
	for _, tt := range []struct {
		name, prefix, report string
	}{
		{"any user", "setpriv --reuid 65534 --regid 65534 --clear-groups",
			"running as user 65534, as before, without capabilities; "},
		{"user with a capability", "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +net_admin --ambient-caps +net_admin",
			"running as user 65534, as before, without capabilities; "},
		{"user namespace", "setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Urn",
			"running as user 0, as before, without capabilities, in the groups that it may not leave; "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := openDir(t)
			out, err := child(t, "keep user", strings.Fields(tt.prefix), dir).CombinedOutput()
			want := tt.report + "Landlock leaves it " + dir + " to write in\n"
			if err != nil || string(out) != want {
				t.Errorf("%v: %q, want %q", err, out, want)
			}
		})
	}
}

// TestRootThatCannotLeave: root of the machine never stays what it is.
func TestRootThatCannotLeave(t *testing.T) {
	prefix := strings.Fields("setpriv --bounding-set -setuid,-setgid,-dac_override --inh-caps -setuid,-setgid,-dac_override")
	out, err := child(t, "keep user", prefix, openDir(t)).CombinedOutput()
	const want = "child: cannot become nobody: this process lacks CAP_SETUID or CAP_SETGID, or its user namespace lacks that user\n"
	if err == nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

func TestWithoutLandlock(t *testing.T) {
	for name, why := range map[string]string{
		"old kernel":  "it came with Linux 5.13",
		"no landlock": "a filter of system calls forbids it",
	} {
		out, err := child(t, name, nil).CombinedOutput()
		want := "running as nobody, without capabilities\nno Landlock here (" + why + "), so only file permissions say where it may write\n"
		if err != nil || string(out) != want {
			t.Errorf("%s: %v: %q, want %q", name, err, out, want)
		}
	}
}

// TestWithoutCapset: capabilities that cannot be given up are an error.
func TestWithoutCapset(t *testing.T) {
	out, err := child(t, "no capset", nil).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "child: give up privileges: capset: operation not permitted\n") {
		t.Errorf("%v: %q", err, out)
	}
}

func TestAsLeavesThreadsAlone(t *testing.T) {
	nobody, err := ParseUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	before := dump(t, os.Getpid())[0]
	for _, u := range []User{{}, nobody, {Name: "someone", UID: 4242, GID: 4242}} {
		for range 20 {
			if err := CanWrite(u, openDir(t)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, now := range dump(t, os.Getpid()) {
		if now != before {
			t.Errorf("a thread has\n%s\nbefore\n%s", now, before)
		}
	}
}

func TestChoose(t *testing.T) {
	dirs := map[string]string{"open": openDir(t), "root's": openDir(t), "sudo's": openDir(t)}
	for name, owner := range map[string]int{"root's": 0, "sudo's": 4242} {
		if err := errors.Join(os.Chown(dirs[name], owner, owner), os.Chmod(dirs[name], 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		sudo bool
		dirs []string
		want string
		err  string // "": can write
	}{
		{name: "no directory", want: "nobody"},
		{name: "sudo, no directory", sudo: true, want: "alice"},
		{name: "open", dirs: []string{"open"}, want: "nobody"},
		{name: "sudo, open", sudo: true, dirs: []string{"open"}, want: "alice"},
		{name: "sudo's own", sudo: true, dirs: []string{"open", "sudo's"}, want: "alice"},
		{name: "root's", dirs: []string{"open", "root's"}, want: "nobody",
			err: "nobody cannot make files in " + dirs["root's"] + ": permission denied"},
		{name: "sudo, root's", sudo: true, dirs: []string{"root's"}, want: "alice",
			err: "alice cannot make files in " + dirs["root's"] + ": permission denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.sudo {
				t.Setenv("SUDO_USER", "alice")
				t.Setenv("SUDO_UID", "4242")
				t.Setenv("SUDO_GID", "4242")
			}
			var paths []string
			for _, d := range tt.dirs {
				paths = append(paths, dirs[d])
			}
			u, err := Choose(paths)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if u.Name != tt.want || text != tt.err {
				t.Errorf("%+v, %q; want %q, %q", u, text, tt.want, tt.err)
			}
		})
	}
}

// TestCaller: nobody can become the number that means none.
func TestCaller(t *testing.T) {
	for id, want := range map[string]bool{"4242": true, "4294967294": true, "4294967295": false, "0": false, "-1": false, "+1": false, "": false} {
		t.Setenv("SUDO_UID", id)
		t.Setenv("SUDO_GID", "100")
		if u, ok := Caller(); ok != want {
			t.Errorf("SUDO_UID=%s: %+v, %t", id, u, ok)
		}
		t.Setenv("SUDO_UID", "4242")
		t.Setenv("SUDO_GID", id)
		if u, ok := Caller(); ok != (want || id == "0") {
			t.Errorf("SUDO_GID=%s: %+v, %t", id, u, ok)
		}
	}
}

func TestCanWrite(t *testing.T) {
	someone := User{Name: "someone", UID: 4242, GID: 4242}
	dir := openDir(t)
	for mode, want := range map[os.FileMode]bool{0o777: true, 0o755: false, 0o733: false, 0o776: false, 0o707: true, 0o770: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := CanWrite(someone, dir); (err == nil) != want {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := CanWrite(someone, filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// TestCanReach: a directory to which only a descriptor leads is of no use to a hook.
func TestCanReach(t *testing.T) {
	someone := User{Name: "someone", UID: 4242, GID: 4242}
	above := openDir(t)
	dir := filepath.Join(above, "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		above, dir          os.FileMode
		write, reach, reads bool
	}{{0o711, 0o777, true, true, true}, {0o700, 0o777, true, false, false}, {0o711, 0o755, false, false, true}, {0o711, 0o700, false, false, false}} {
		if err := errors.Join(os.Chmod(above, tt.above), os.Chmod(dir, tt.dir)); err != nil {
			t.Fatal(err)
		}
		if err := CanWrite(someone, dir); (err == nil) != tt.write {
			t.Errorf("write, %o in %o: %v", tt.dir, tt.above, err)
		}
		if err := CanReachToWrite(someone, dir); (err == nil) != tt.reach {
			t.Errorf("reach, %o in %o: %v", tt.dir, tt.above, err)
		}
		if err := CanReach(someone, dir); (err == nil) != tt.reads {
			t.Errorf("read, %o in %o: %v", tt.dir, tt.above, err)
		}
	}
}

func TestCanRun(t *testing.T) {
	dir := openDir(t)
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	someone := User{Name: "someone", UID: 4242, GID: 4242}
	for _, tt := range []struct {
		file, dir os.FileMode
		can       bool
	}{{0o755, 0o755, true}, {0o711, 0o711, true}, {0o744, 0o755, false}, {0o755, 0o700, false}} {
		if err := errors.Join(os.Chmod(dir, tt.dir), os.Chmod(program, tt.file)); err != nil {
			t.Fatal(err)
		}
		if err := CanRun(someone, program); (err == nil) != tt.can {
			t.Errorf("%o in %o: %v", tt.file, tt.dir, err)
		}
		if err := CanRun(User{}, program); err != nil {
			t.Errorf("root, %o in %o: %v", tt.file, tt.dir, err)
		}
	}
}

func TestParseUser(t *testing.T) {
	for in, want := range map[string]string{
		"nobody":        "{nobody 65534 65534} <nil>",
		"65534":         "{nobody 65534 65534} <nil>",
		"nobody:0":      "{nobody 65534 0} <nil>",
		"nobody:adm":    "{nobody 65534 4} <nil>",
		"nosuch":        `{ 0 0} user nosuch: there is no user "nosuch"`,
		"":              `{ 0 0} user : there is no user ""`,
		"4242:4343":     "{ 4242 4343} <nil>",
		"4242":          `{ 0 0} user 4242: there is no user "4242": with a number write its group, too, as in 4242:4242`,
		"nobody:nosuch": `{ 0 0} user nobody:nosuch: there is no group "nosuch"`,
		"root":          "{ 0 0} user root: is root, to whom no privilege can be given up",
		"0:65534":       "{ 0 0} user 0:65534: is root, to whom no privilege can be given up",
	} {
		u, err := ParseUser(in)
		if got := fmt.Sprintf("{%s %d %d} %v", u.Name, u.UID, u.GID, err); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
