package helper

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// A helper's arguments are marker, its kind and its configuration; its descriptors from
// firstSocket on are its sockets, and behind them the files that it is given.
const (
	marker      = "__helper"
	firstSocket = 3
)

// start is how to start a helper.
type start struct {
	kind    string
	config  any // its last argument, as JSON
	env     []string
	sockets int // how many requests may be on their way at once
	files   []*os.File
	stderr  io.Writer
}

// process is a helper, seen from who has started it.
type process struct {
	sockets []*os.File
	ended   chan struct{} // closed when it has
	err     error         // how it ended; read it then
}

// run starts a helper. It gets its own process group, so that Ctrl-C is for the
// recorder alone. It ends when all sockets are closed here, by close or by the end of this
// process: no signal on the death of a parent, which Linux sends for that of a thread.
func (c start) run() (*process, error) {
	config, err := json.Marshal(c.config)
	if err != nil {
		return nil, fmt.Errorf("start a helper: %w", err)
	}
	program := "/proc/self/exe" // it may have been replaced by another since
	if _, err := os.Stat(program); err != nil {
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("start a helper: %w", err)
		}
	}
	ours, theirs, err := socketPairs(c.sockets)
	if err != nil {
		return nil, fmt.Errorf("start a helper: %w", err)
	}
	cmd := exec.Command(program)
	cmd.Args = []string{os.Args[0], marker, c.kind, string(config)}
	cmd.Env, cmd.Stderr = c.env, c.stderr
	cmd.ExtraFiles = append(theirs, c.files...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	closeAll(theirs)
	if err != nil {
		closeAll(ours)
		return nil, fmt.Errorf("start a helper: %w", err)
	}
	p := &process{sockets: ours, ended: make(chan struct{})}
	go func() { p.err = cmd.Wait(); close(p.ended) }()
	return p, nil
}

func socketPairs(n int) (ours, theirs []*os.File, err error) {
	for range n {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			closeAll(append(ours, theirs...))
			return nil, nil, os.NewSyscallError("socketpair", err)
		}
		ours = append(ours, os.NewFile(uintptr(fds[0]), "helper"))
		theirs = append(theirs, os.NewFile(uintptr(fds[1]), "helper"))
	}
	return ours, theirs, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Close lets the helper end, and waits for that.
func (p *process) Close() error {
	closeAll(p.sockets)
	<-p.ended
	return p.err
}

// mains are what helpers do, by kind.
var mains = map[string]func(config []byte) error{
	directoryKind: serveDirectory,
	hookKind:      serveHooks,
}

// Main is the helper, where this process was started to be one: with these arguments. It
// returns when the helper is to end. Signals that are for the recorder pass it by.
func Main(args []string) (isHelper bool, err error) {
	if len(args) != 4 || args[1] != marker || mains[args[2]] == nil {
		return false, nil
	}
	// Caught and not ignored, which the hooks would inherit.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE)
	return true, mains[args[2]]([]byte(args[3]))
}

// inherited returns the helper's descriptors, its sockets first.
func inherited(n int) (files []*os.File) {
	for i := range n {
		unix.CloseOnExec(firstSocket + i)
		files = append(files, os.NewFile(uintptr(firstSocket+i), "helper"))
	}
	return files
}
