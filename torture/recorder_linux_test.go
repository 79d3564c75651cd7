package torture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// launch says how a recorder is started.
type launch struct {
	wrap           []string // a program that becomes tunrec, and its arguments
	args           []string // beside those that all have
	bare           bool     // only args
	stdin          *os.File
	stdout, stderr *os.File // nil: files, which are read
	terminal       bool     // stdin is the controlling terminal
	early          bool     // return before it says that it records
	env            []string
}

// recorder is a tunrec that runs.
type recorder struct {
	g      *rig
	cmd    *exec.Cmd
	out    string // the file of its standard output
	err    string
	closed chan struct{}
}

// record starts tunrec with these arguments, and waits until it records.
func (g *rig) record(args ...string) *recorder {
	g.t.Helper()
	return g.start(launch{args: args})
}

func (g *rig) start(l launch) *recorder {
	g.t.Helper()
	argv := append(l.wrap, tunrec)
	if !l.bare {
		argv = append(argv, "-i", device, "--addr", local+","+peer, "--flush", "100ms")
		if l.stdout == nil {
			argv = append(argv, "--json")
		}
	}
	argv = append(argv, l.args...)
	r := &recorder{g: g, closed: make(chan struct{})}
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Dir = g.dir
	r.cmd.Env = append(os.Environ(), l.env...)
	r.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if l.terminal {
		r.cmd.SysProcAttr.Setsid, r.cmd.SysProcAttr.Setctty = true, true
	}
	if l.stdin != nil {
		r.cmd.Stdin = l.stdin
	}
	r.cmd.Stdout, r.out = g.output(l.stdout, fmt.Sprintf("stdout-%d", len(g.recorders)))
	r.cmd.Stderr, r.err = g.output(l.stderr, fmt.Sprintf("stderr-%d", len(g.recorders)))
	g.must(r.cmd.Start())
	g.recorders = append(g.recorders, r)
	go func() {
		r.cmd.Wait() // the exit code is in ProcessState
		close(r.closed)
	}()
	if !l.early {
		r.recording()
	}
	return r
}

// output is where a recorder prints, and its name where it is a file of the rig.
func (g *rig) output(given *os.File, name string) (*os.File, string) {
	if given != nil {
		return given, ""
	}
	path := g.path(name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_EXCL, 0o666)
	g.must(err)
	g.later(func() { f.Close() })
	return f, path
}

// recording waits until the device has its address.
func (r *recorder) recording() {
	r.g.t.Helper()
	r.g.eventually("the recorder starts: "+r.text(), func() bool {
		if r.ended() {
			r.g.must(fmt.Errorf("%q ended with %v: %s", r.cmd.Args, r.cmd.ProcessState, r.text()))
		}
		if r.err != "" {
			return strings.Contains(r.text(), "recording ")
		}
		l, err := netlink.LinkByName(device)
		if err != nil {
			return false
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
		return err == nil && len(addrs) > 0 && l.Attrs().Flags&unix.IFF_UP != 0
	})
}

func (r *recorder) ended() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// text is what the recorder has said: of much, the beginning and the end.
func (r *recorder) text() string {
	const most = 64 << 10
	f, err := os.Open(r.err)
	if err != nil {
		return "" // it is no file of the rig
	}
	defer f.Close()
	head, _ := io.ReadAll(io.LimitReader(f, most))
	if info, err := f.Stat(); err == nil && info.Size() > 2*most {
		f.Seek(-most, io.SeekEnd)
		head = append(head, "\n[…]\n"...)
	}
	tail, _ := io.ReadAll(f)
	return string(append(head, tail...))
}

func (r *recorder) signal(s unix.Signal) {
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.g.must(err)
	}
}

// kill ends it at once.
func (r *recorder) kill() {
	r.cmd.Process.Kill()
	<-r.closed
}

// stop ends the recording and returns its exit code.
func (r *recorder) stop() int {
	r.g.t.Helper()
	r.signal(unix.SIGTERM)
	return r.wait("after SIGTERM")
}

// wait waits for the end and returns the exit code, -1 where a signal ended it. One
// that does not end is killed, and the try has failed.
func (r *recorder) wait(when string) int {
	r.g.t.Helper()
	return r.waitFor(patience, when)
}

func (r *recorder) waitFor(limit time.Duration, when string) int {
	r.g.t.Helper()
	select {
	case <-r.closed:
	case <-time.After(limit):
		r.g.fault("still runs %v %s:\n%s", limit, when, r.text())
		r.kill()
	}
	return r.cmd.ProcessState.ExitCode()
}

// resident is the memory of a process, in bytes.
func (r *recorder) resident() (n int64) { return r.status("VmRSS:") << 10 }

// status is a number of /proc/PID/status.
func (r *recorder) status(key string) (n int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			fmt.Sscan(rest, &n)
		}
	}
	return n
}
