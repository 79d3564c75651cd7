package helper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/privilege"
	"github.com/tunrec/tunrec/internal/probe"
	"github.com/tunrec/tunrec/rotate"
)

const envProbe = "TUNREC_HELPER_PROBE" // what this binary is to be confined to, and to try

// TestMain lets this binary be the helper that it starts.
func TestMain(m *testing.M) {
	isHelper, err := Main(os.Args)
	if kind := os.Getenv(envProbe); kind != "" {
		isHelper, err = true, intrude(kind)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !isHelper {
		os.Exit(m.Run())
	}
}

// intrude is what an intruder in a helper does.
func intrude(kind string) (err error) {
	dir := os.Getenv("DIR")
	victim, err := strconv.Atoi(os.Getenv("VICTIM"))
	if err != nil {
		return err
	}
	nobody := privilege.User{Name: "nobody", UID: 65534, GID: 65534}
	c := directoryConfig{Name: filepath.Join(dir, "a"), Suffix: ".pcapng"}
	switch kind {
	case "makes files":
	case "gives them away":
		c.Owner = rotate.Owner{Set: true, UID: 4242, GID: 4242}
	case "runs hooks":
		err = hookConfig{User: nobody, Dirs: []string{dir}}.confine()
	}
	capture, openErr := os.OpenFile(filepath.Join(dir, "a"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if kind != "runs hooks" {
		err = c.confine()
	}
	if err := errors.Join(err, openErr); err != nil {
		return err
	}
	target := probe.Target{Dir: dir, Elsewhere: os.Getenv("ELSEWHERE"), Victim: victim}
	probe.Main(probe.Attempts(target), os.Stdout, probe.First(os.Getenv("FIRST")))
	runtime.KeepAlive(capture)
	return nil
}

// openDir is a directory that its owner can be reached in.
func openDir(t *testing.T, owner int, mode os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(dir, owner, owner), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestIntruder: what an intruder in a helper can do is what SECURITY.md says.
func TestIntruder(t *testing.T) {
	for column, user := range map[string]int{"makes files": 0, "gives them away": 0, "runs hooks": 65534} {
		t.Run(column, func(t *testing.T) {
			runtime.LockOSThread() // whose namespace the probes are in
			if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
				t.Fatal(err)
			}
			dir, elsewhere := openDir(t, user, 0o755), openDir(t, 65534, 0o777)
			if err := os.WriteFile(filepath.Join(dir, "other"), []byte("another's"), 0o644); err != nil {
				t.Fatal(err)
			}
			victim := exec.Command("cat")
			victim.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
			stdin, err := victim.StdinPipe()
			if err == nil {
				err = victim.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer victim.Wait()
			defer stdin.Close()
			got, err := probe.Observe(func(first int) *exec.Cmd {
				cmd := exec.Command("/proc/self/exe")
				cmd.Env = append(os.Environ(), envProbe+"="+column, "DIR="+dir, "ELSEWHERE="+elsewhere,
					"VICTIM="+strconv.Itoa(victim.Process.Pid), "FIRST="+strconv.Itoa(first))
				return cmd
			})
			if err != nil {
				t.Fatal(err)
			}
			want, err := probe.Column("../../SECURITY.md", column)
			if err != nil {
				t.Error(err)
			}
			for _, difference := range probe.Differences(got, want) {
				t.Error(difference)
			}
		})
	}
}

// hooks starts a helper that runs a shell script as hook, which writes in dir alone.
func hooks(t *testing.T, script, dir string) (h *Hooks, printed *strings.Builder, end func()) {
	t.Helper()
	printed = &strings.Builder{}
	h, err := StartHooks(rotate.Hook{Argv: []string{"/bin/sh", "-c", script, "name"}, Env: []string{"ONLY=this"}, Output: printed},
		privilege.User{}, []string{dir})
	if err == nil {
		err = h.Await()
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, printed, func() {
		t.Helper()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestHooks: what comes back is what rotate.Hook tells, and what is printed arrives.
func TestHooks(t *testing.T) {
	for _, c := range []struct{ script, last, err, printed string }{
		{`exit 0`, "", "", ""},
		{`echo "$1"; echo "$ONLY$HOME"`, "", "", "the file\nthis\n"},
		{`echo one >&2; printf 'tw\0o' >&2; exit 3`, "two", "hook /bin/sh the file: exit status 3", "one\ntw\x00o"},
		{`kill -KILL $$`, "", "hook /bin/sh the file: signal: killed", ""},
		{`trap - INT TERM HUP; kill -TERM $$`, "", "hook /bin/sh the file: signal: terminated", ""}, // not ignored
	} {
		h, printed, end := hooks(t, c.script, t.TempDir())
		r := h.Run(context.Background(), "the file")
		end()
		text := ""
		if r.Err != nil {
			text = r.Err.Error()
		}
		if r.LastLine != c.last || text != c.err || printed.String() != c.printed {
			t.Errorf("%s: %+v, printed %q", c.script, r, printed)
		}
	}
}

// TestHooksAreKilled by the context of one of them, while another goes on.
func TestHooksAreKilled(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	h, _, end := hooks(t, `test "$1" = short || { exec 3>"$1"; echo started >&3; exec sleep 1000; }`, filepath.Dir(fifo))
	defer end()
	ctx, cancel := context.WithCancel(context.Background())
	killed := make(chan rotate.HookResult, 1)
	go func() { killed <- h.Run(ctx, fifo) }()
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if r := h.Run(context.Background(), "short"); r.Err != nil {
		t.Error(r.Err)
	}
	cancel()
	if r := <-killed; r.ExitCode != -1 || r.Err == nil {
		t.Errorf("%+v", r)
	}
	for range 3 { // both lanes are of use again
		if r := h.Run(context.Background(), "short"); r.Err != nil {
			t.Error(r.Err)
		}
	}
}

// TestHookOutlivesRecorder: one that runs when the recorder has gone is not killed.
func TestHookOutlivesRecorder(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	h, _, _ := hooks(t, `exec 3<"$1"; read -r go <&3; echo >"$1.ended"`, filepath.Dir(fifo))
	go h.Run(context.Background(), fifo)
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for the hook
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range h.sockets {
		unix.Shutdown(int(s.Fd()), unix.SHUT_RDWR)
	}
	select {
	case <-h.ended:
		t.Error("the helper has not waited for its hook")
	default:
	}
	if _, err := f.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	<-h.ended
	if _, err := os.Stat(fifo + ".ended"); h.err != nil || err != nil {
		t.Error(h.err, err)
	}
}

// TestHelperThatCannotStart says why.
func TestHelperThatCannotStart(t *testing.T) {
	var printed strings.Builder
	h, err := StartHooks(rotate.Hook{Argv: []string{"/bin/true"}, Output: &printed}, privilege.User{}, []string{"/nonexistent/dir"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Await(); err == nil || !strings.Contains(printed.String(), "/nonexistent/dir") {
		t.Errorf("%v, printed %q", err, printed.String())
	}
	if r := h.Run(context.Background(), "a"); r.Err == nil || r.ExitCode != -1 {
		t.Errorf("%+v", r)
	}
}

// TestResults: whatever comes, it is a result.
func TestResults(t *testing.T) {
	for _, r := range []rotate.HookResult{{}, {ExitCode: -1, Err: errors.New("a: b")}, {ExitCode: 255, LastLine: "x", Err: errors.New("y")}} {
		got := parseResult(formatResult(r))
		if got.ExitCode != r.ExitCode || got.LastLine != r.LastLine || fmt.Sprint(got.Err) != fmt.Sprint(r.Err) {
			t.Errorf("%+v became %+v", r, got)
		}
	}
	for n := range 5 {
		if r := parseResult(make([]byte, n)); n < 4 && r.Err == nil {
			t.Errorf("%d bytes: %+v", n, r)
		}
	}
	long := rotate.HookResult{Err: errors.New(strings.Repeat("x", maxAnswer))}
	if n := len(formatResult(long)); n != maxAnswer {
		t.Errorf("an answer of %d bytes", n)
	}
}
