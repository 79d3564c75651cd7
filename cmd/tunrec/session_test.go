package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience bounds every wait of the tests. It is no measure of anything: what
// takes that long is broken.
const patience = 60 * time.Second

// session is a tunrec that runs beside the test.
type session struct {
	cmd            *exec.Cmd
	stdout, stderr transcript
	ended          chan struct{} // closed when the process has ended
}

// startSession starts tunrec in dir and waits until it says that it records.
// The process is in the calling thread's namespaces.
func startSession(dir string, args ...string) (*session, error) {
	return startPiped(dir, nil, nil, args...)
}

// startPiped is startSession with other ends of a pipe for standard input and
// output, where they are not nil.
func startPiped(dir string, stdin, stdout *os.File, args ...string) (*session, error) {
	cmd := exec.Command("tunrec", args...)
	cmd.Dir = dir
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if stdout != nil {
		cmd.Stdout = stdout
	}
	s, err := launch(cmd)
	if err != nil {
		return nil, err
	}
	return s, s.recording()
}

// launch starts a command that is, or becomes, tunrec.
func launch(cmd *exec.Cmd) (*session, error) {
	s := &session{cmd: cmd, ended: make(chan struct{})}
	s.stderr.want, s.stderr.seen = "tunrec: recording ", make(chan struct{})
	s.cmd.Stderr = &s.stderr
	if s.cmd.Stdout == nil {
		s.cmd.Stdout = &s.stdout
	}
	// Who runs the tests by sudo gets the same files as root.
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SUDO_") })
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait() // the exit code is in cmd.ProcessState
		close(s.ended)
	}()
	return s, nil
}

// recording waits until the process says that it records.
func (s *session) recording() error {
	select {
	case <-s.stderr.seen:
		return nil
	case <-s.ended:
		// One that has nothing to wait for may be through already.
		if s.stderr.has() {
			return nil
		}
		return fmt.Errorf("%q ended with %v before it recorded:\n%s", s.cmd.Args, s.cmd.ProcessState, &s.stderr)
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("%q does not say that it records:\n%s", s.cmd.Args, &s.stderr)
	}
}

// wait waits for the process to end and returns its exit code, -1 if a signal
// killed it.
func (s *session) wait() (int, error) {
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		s.kill()
		return -1, fmt.Errorf("tunrec did not end:\n%s", &s.stderr)
	}
}

func (s *session) signal(signals ...os.Signal) error {
	var errs []error
	for _, sig := range signals {
		errs = append(errs, s.cmd.Process.Signal(sig))
	}
	return errors.Join(errs...)
}

// insist sends one signal, and then another one until the process has ended:
// what comes close behind the first is taken for the same.
func (s *session) insist(first, then os.Signal) error {
	if err := s.signal(first); err != nil {
		return err
	}
	for tick := time.Tick(20 * time.Millisecond); ; {
		select {
		case <-s.ended:
			return nil
		case <-tick:
			if err := s.signal(then); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
		}
	}
}

func (s *session) kill() {
	s.cmd.Process.Kill() // fails only where it has ended already
	<-s.ended
}

// transcript keeps what a process prints.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	want string        // what is waited for
	seen chan struct{} // closed when want has been printed
}

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	had := t.want == "" || bytes.Contains(t.text.Bytes(), []byte(t.want))
	t.text.Write(b)
	if !had && bytes.Contains(t.text.Bytes(), []byte(t.want)) {
		close(t.seen)
	}
	return len(b), nil
}

func (t *transcript) has() bool {
	return strings.Contains(t.String(), t.want)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// counts are the closing counts that tunrec prints.
type counts struct {
	recorded                   uint64
	received, filtered, cut    uint64
	byQueue, noMemory, byWrite uint64
}

func (c counts) lost() uint64 { return c.byQueue + c.noMemory + c.byWrite }

var closingLine = regexp.MustCompile(`: ([\d,]+) packets? recorded, .*; ` +
	`([\d,]+) received, ([\d,]+) filtered, ([\d,]+) cut to the snaplen; ` +
	`(?:at least )?([\d,]+) dropped by the kernel, ([\d,]+) for want of memory, ([\d,]+) by write errors(?:; .*)?\n`)

func parseCounts(stderr string) (c counts, err error) {
	m := closingLine.FindStringSubmatch(stderr)
	if m == nil {
		return c, fmt.Errorf("no closing counts in:\n%s", stderr)
	}
	for i, to := range []*uint64{&c.recorded, &c.received, &c.filtered, &c.cut, &c.byQueue, &c.noMemory, &c.byWrite} {
		if *to, err = strconv.ParseUint(strings.ReplaceAll(m[i+1], ",", ""), 10, 64); err != nil {
			return c, err
		}
	}
	if c.received != c.recorded+c.filtered+c.lost() {
		return c, fmt.Errorf("the closing counts do not add up: %+v", c)
	}
	return c, nil
}
