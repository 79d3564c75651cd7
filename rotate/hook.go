package rotate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Hook is a command that is run on a complete file. It runs in a process group
// of its own, at nice 10, without a shell, with /dev/null to read from. It inherits no
// other descriptor than the three standard ones: all others are marked close-on-exec.
type Hook struct {
	Argv  []string      // the program and its first arguments; the file's name is put after them
	Env   []string      // its environment, NAME=VALUE; nil: that of this process
	Limit time.Duration // how long it may run; 0: DefaultHookLimit

	// Output takes what the hook prints, from two goroutines at once; nil: standard
	// error. The hook waits for it.
	Output io.Writer
}

// DefaultHookLimit is how long a hook may run.
const DefaultHookLimit = time.Hour

const (
	hookNice = 10
	// hookGrace is how long what a hook has started may hold on to its
	// standard error after the hook has ended.
	hookGrace   = 2 * time.Second
	maxLastLine = 1024 // bytes
)

// ParseHook splits a command at spaces and finds its program, so that one that
// is not there is told before the recording and not after it.
func ParseHook(command string) (Hook, error) {
	argv := strings.Fields(command)
	if len(argv) == 0 {
		return Hook{}, errors.New("hook: expected a command")
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return Hook{}, fmt.Errorf("hook %s: %w", argv[0], err)
	}
	argv[0] = program
	return Hook{Argv: argv}, nil
}

// HookResult tells how a hook ended.
type HookResult struct {
	ExitCode int    // -1: it could not be started, or was killed
	LastLine string // that it printed to standard error
	Err      error  // nil: exit code 0
}

// Run runs the hook on a file and returns when it has ended. When the time
// limit has passed or ctx is done, it is killed with its process group.
func (h Hook) Run(ctx context.Context, file string) HookResult {
	limit := h.Limit
	if limit == 0 {
		limit = DefaultHookLimit
	}
	late := fmt.Errorf("killed after its time limit of %s", limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()

	if strings.HasPrefix(file, "-") {
		file = "./" + file // not to be taken for an option
	}
	cmd := exec.CommandContext(ctx, h.Argv[0], append(h.Argv[1:len(h.Argv):len(h.Argv)], file)...)
	cmd.Env = h.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = hookGrace
	output := h.Output
	if output == nil {
		output = os.Stderr // standard output may be a capture (-o -)
	}
	var last lastLine
	cmd.Stdout, cmd.Stderr = output, io.MultiWriter(output, &last)

	_ = closeOnExec() // what this program opens is closed on exec without it
	err := cmd.Start()
	if err == nil {
		// It fails only where the hook has ended already.
		_ = syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, hookNice)
		err = cmd.Wait()
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, and left something running
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("hook %s %s: %w", h.Argv[0], file, err)
	}
	return HookResult{cmd.ProcessState.ExitCode(), last.String(), err}
}

func killGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	if err == syscall.ESRCH {
		return os.ErrProcessDone
	}
	return err
}

// lastLine keeps the last line that is not empty of what is written to it.
type lastLine struct {
	line    []byte
	isEnded bool
}

func (l *lastLine) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			l.isEnded = true
			continue
		case l.isEnded:
			l.line, l.isEnded = l.line[:0], false
		}
		if len(l.line) < maxLastLine {
			l.line = append(l.line, c)
		}
	}
	return len(p), nil
}

func (l *lastLine) String() string { return string(l.line) }
