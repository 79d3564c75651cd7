package rotate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childHook runs the hook of the environment and tells what came of it on
// standard output, which the hook itself must not reach.
func childHook() error {
	if _, err := unix.Open("/dev/zero", unix.O_RDONLY, 0); err != nil { // not closed on exec
		return err
	}
	h := Hook{Argv: strings.Split(os.Getenv("HOOK"), "\n")}
	r := h.Run(context.Background(), "the file")
	fmt.Printf("%d|%s|%v", r.ExitCode, r.LastLine, r.Err)
	return nil
}

// runHook runs a shell script as a hook in a process of its own.
func runHook(t *testing.T, script string) (result, stderr string) {
	t.Helper()
	cmd := childCommand(t, "hook", "")
	cmd.Env = append(cmd.Env, "HOOK=/bin/sh\n-c\n"+script+"\nname")
	cmd.Stdin = strings.NewReader("not for the hook")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return string(out), errs.String()
}

func TestHook(t *testing.T) {
	for _, c := range []struct{ script, result, stderr string }{
		{`exit 0`, "0||<nil>", ""},
		{`echo "$1"`, "0||<nil>", "the file\n"}, // standard output goes to standard error
		{`echo one >&2; echo two >&2; exit 3`, "3|two|hook /bin/sh the file: exit status 3", "one\ntwo\n"},
		{`printf 'no newline\n\n' >&2`, "0|no newline|<nil>", "no newline\n\n"},
		{`cat`, "0||<nil>", ""},
		{`until [ "$(nice)" = 10 ]; do :; done`, "0||<nil>", ""},
		{`kill -KILL $$`, "-1||hook /bin/sh the file: signal: killed", ""},
	} {
		result, stderr := runHook(t, c.script)
		if result != c.result || stderr != c.stderr {
			t.Errorf("%s:\ngot  %q, %q\nwant %q, %q", c.script, result, stderr, c.result, c.stderr)
		}
	}
}

// TestHookInherits: nothing but 0, 1 and 2, and the first is /dev/null.
func TestHookInherits(t *testing.T) {
	_, stderr := runHook(t, `readlink /proc/$$/fd/0; ls /proc/$$/fd`)
	got := strings.Fields(stderr)
	if want := []string{"/dev/null", "0", "1", "2"}; !slices.Equal(got, want) {
		t.Errorf("the hook has %q, want %q", got, want)
	}
}

func TestHookGroup(t *testing.T) {
	_, stderr := runHook(t, `cut -d' ' -f 1,5 /proc/$$/stat`)
	if f := strings.Fields(stderr); len(f) != 2 || f[0] != f[1] {
		t.Errorf("process and group are %q, want the same twice", stderr)
	}
}

// TestHookIsKilled: by its time limit or by its context, and with it what it
// has started.
func TestHookIsKilled(t *testing.T) {
	for _, byContext := range []bool{true, false} {
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		// The shell and its child hold the FIFO open until they have died.
		h := Hook{Argv: []string{"/bin/sh", "-c", `exec 3>"$1"; echo started >&3; sleep 1000 & sleep 1000`, "name"}}
		want, ready := "context canceled", os.O_RDONLY
		if !byContext {
			h.Limit = 300 * time.Millisecond
			want, ready = "time limit of 300ms", os.O_RDONLY|unix.O_NONBLOCK // it may be killed before it opens the FIFO
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		result := make(chan HookResult, 1)
		go func() { result <- h.Run(ctx, fifo) }()
		f, err := os.OpenFile(fifo, ready, 0)
		if err != nil {
			t.Fatal(err)
		}
		if byContext {
			if _, err := io.ReadFull(f, make([]byte, len("started\n"))); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
		r := <-result
		if _, err := io.ReadAll(f); err != nil { // ends when no one holds it
			t.Error(err)
		}
		f.Close()
		if r.Err == nil || !strings.Contains(r.Err.Error(), want) || r.ExitCode != -1 {
			t.Errorf("by context %t: %+v", byContext, r)
		}
	}
}

// TestHookLeavesSomethingRunning: a hook has ended when its process has.
func TestHookLeavesSomethingRunning(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	h := Hook{Argv: []string{"/bin/sh", "-c", `sleep 1000 & echo $! >"$1"`, "name"}}
	r := h.Run(context.Background(), pidFile)
	if r.Err != nil || r.ExitCode != 0 {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("what the hook has left running is gone: %v", err)
	}
}

func TestParseHook(t *testing.T) {
	h, err := ParseHook("  sh  -c 'x  ")
	if want := []string{"/bin/sh", "-c", "'x"}; err != nil || !slices.Equal(h.Argv[1:], want[1:]) || !filepath.IsAbs(h.Argv[0]) {
		t.Errorf("%q, %v; want %q", h.Argv, err, want)
	}
	for command, want := range map[string]string{
		"": "expected a command", " ": "expected a command",
		"tunrec-no-such-program x": "hook tunrec-no-such-program",
		"/etc/passwd":              "hook /etc/passwd",
	} {
		if _, err := ParseHook(command); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", command, err, want)
		}
	}
}

func TestHookEnvironment(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	h := Hook{Argv: []string{"/bin/sh", "-c", `echo "$HOME $A" >"$1"`, "name"}, Env: []string{"A=b"}}
	if r := h.Run(context.Background(), out); r.Err != nil {
		t.Fatal(r.Err)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != " b\n" {
		t.Errorf("the hook has %q, %v", b, err)
	}
}

func TestHookThatCannotStart(t *testing.T) {
	r := Hook{Argv: []string{"/no/such/program"}}.Run(context.Background(), "-x")
	if r.ExitCode != -1 || !errors.Is(r.Err, os.ErrNotExist) || !strings.Contains(r.Err.Error(), " ./-x: ") {
		t.Errorf("%+v", r)
	}
}
