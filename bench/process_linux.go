package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a measured child. It lives in the network namespace of the thread
// that started it, and ends with that thread.
type process struct {
	cmd      *exec.Cmd
	out      output
	readyCPU time.Duration // that it had used when it was ready

	done    chan struct{} // closed when it has ended: then these, and out.text, are valid
	err     error
	elapsed time.Duration
}

// output keeps what a process prints, and closes said when it has printed text.
type output struct {
	text  bytes.Buffer
	await string
	said  chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.text.Write(b)
	if o.await != "" && strings.Contains(o.text.String(), o.await) {
		close(o.said)
		o.await = ""
	}
	return len(b), nil
}

// start runs a command until it ends or the context does, and returns when it
// has printed ready. An empty ready is not waited for. Its standard output goes
// to stdout, or where that is nil is kept with what it prints as errors.
func start(ctx context.Context, argv []string, ready string, stdin, stdout *os.File) (*process, error) {
	p := &process{
		cmd:  exec.CommandContext(ctx, argv[0], argv[1:]...),
		out:  output{await: ready, said: make(chan struct{})},
		done: make(chan struct{}),
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out // the same: one goroutine writes
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if stdin != nil {
		p.cmd.Stdin = stdin
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begun := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		p.elapsed = time.Since(begun)
		close(p.done)
	}()
	if ready == "" {
		return p, nil
	}
	select {
	case <-p.out.said:
		p.readyCPU = cpuClock(processClock(p.cmd.Process.Pid))
		return p, nil
	case <-p.done:
		return nil, p.failed(fmt.Errorf("ended before it was ready: %v", p.err))
	}
}

// end waits for the process and returns what it has printed. It may have ended
// with exit code 0 or that one.
func (p *process) end(code int) (string, error) {
	<-p.done
	if p.err != nil && p.cmd.ProcessState.ExitCode() != code {
		return "", p.failed(p.err)
	}
	return p.out.text.String(), nil
}

// failed is an error with the command and what it has printed.
func (p *process) failed(err error) error {
	return fmt.Errorf("%s: %w; it printed: %s", strings.Join(p.cmd.Args, " "), err, strings.TrimSpace(p.out.text.String()))
}

// cpu is the user and system time of all threads, since it was ready.
func (p *process) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime() - p.readyCPU
}

// processClock is what clock_getcpuclockid(3) gives: CPUCLOCK_SCHED and the
// inverted process ID (linux/posix-timers.h).
func processClock(pid int) int32 { return int32(^pid<<3 | 2) }

// cpuClock reads a clock of CPU time, to the nanosecond; 0 where its process
// or thread has ended.
func cpuClock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
