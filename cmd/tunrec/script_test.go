package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestScripts runs testdata/script: the command as a user has it, one script a
// subject. On Linux each script has a network namespace and a mount namespace
// of its own, so it makes devices and mounts as it likes.
//
// Beside what testscript offers, a script has
//
//	code N COMMAND...     the command must end with exit code N; stdout of a failure must be empty
//	says LINE...          stderr of the last command must be exactly these lines
//	record ARGUMENT...    start tunrec and wait until it records
//	end SIGNAL... CODE    send it these signals; it must end with CODE (-1: killed).
//	                      What it printed is stdout and stderr then
//	until COMMAND...      repeat the command until it succeeds
//	packets FILE N        tshark, capinfos and tcpdump must count N packets
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Deadline:           time.Now().Add(20 * patience), // of all together, for a command that should fail, but records
		Setup:              setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":    scriptCode,
			"says":    scriptSays,
			"record":  scriptRecord,
			"end":     scriptEnd,
			"until":   scriptUntil,
			"packets": scriptPackets,
		},
	})
}

type sessionKey struct{}

func setUpScript(e *testscript.Env) error {
	pcaps, err := filepath.Abs("../../testdata/pcaps")
	if err != nil {
		return err
	}
	e.Setenv("PCAPS", pcaps)
	e.Values[sessionKey{}] = new(*session)
	// A script may do something as a user without privilege, who has to get
	// at the command and at the script's folder.
	command, err := exec.LookPath("tunrec")
	if err != nil {
		return err
	}
	return errors.Join(
		os.Chmod(filepath.Dir(filepath.Dir(command)), 0o755),
		os.Chmod(filepath.Dir(e.WorkDir), 0o755),
		isolate(),
	)
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if want != 0 && ts.ReadFile("stdout") != "" {
		ts.Fatalf("a failure printed to stdout")
	}
}

func scriptSays(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: says LINE...")
	}
	got := ts.ReadFile("stderr")
	if want := strings.Join(args, "\n") + "\n"; got != want {
		ts.Fatalf("stderr is\n%swant\n%s", got, want)
	}
}

func scriptRecord(ts *testscript.TestScript, neg bool, args []string) {
	running := ts.Value(sessionKey{}).(**session)
	if neg || *running != nil {
		ts.Fatalf("usage: record ARGUMENT..., one at a time")
	}
	s, err := startSession(ts.MkAbs("."), args...)
	ts.Check(err)
	*running = s
	ts.Defer(s.kill)
}

func scriptEnd(ts *testscript.TestScript, neg bool, args []string) {
	running := ts.Value(sessionKey{}).(**session)
	if neg || len(args) < 1 || *running == nil {
		ts.Fatalf("usage: end SIGNAL... CODE, after record")
	}
	s := *running
	*running = nil
	last := len(args) - 1
	want, err := strconv.Atoi(args[last])
	ts.Check(err)
	for _, name := range args[:last] {
		sig := unix.SignalNum("SIG" + name)
		if sig == 0 {
			ts.Fatalf("no signal is called %s", name)
		}
		ts.Check(s.signal(syscall.Signal(sig)))
	}
	got, err := s.wait()
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), &s.stdout)
	fmt.Fprint(ts.Stderr(), &s.stderr)
	if got != want {
		ts.Fatalf("exit code %d, want %d:\n%s", got, want, &s.stderr)
	}
}

func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until COMMAND...")
	}
	deadline := time.Now().Add(patience)
	for ts.Exec(args[0], args[1:]...) != nil {
		if time.Now().After(deadline) {
			ts.Fatalf("%q never succeeded", args)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

func scriptPackets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: packets FILE N")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(wantPackets(ts.MkAbs(args[0]), want))
}
