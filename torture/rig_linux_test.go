package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	device = "tort0"
	local  = "10.9.0.1"
	peer   = "10.9.0.2"
)

// rig is one try: a network namespace and a mount namespace of its own, a folder,
// recorders in it and who sends to them.
type rig struct {
	t   *testing.T
	row *row
	try int
	dir string // everybody may write in it
	rng *rand.Rand

	netns     *os.File // by which others enter the namespace
	recorders []*recorder
	undo      []func() // in the reverse order
	streams   *streams
	failed    bool
	closed    bool
}

// newRig has to be called in a goroutine of its own: its thread is locked for good.
func newRig(t *testing.T, r *row, try int) *rig {
	g := &rig{t: t, row: r, try: try, streams: &streams{}}
	g.rng = rand.New(rand.NewPCG(uint64(try), uint64(len(r.name))))
	runtime.LockOSThread()
	g.must(g.isolate())
	dir, err := os.MkdirTemp("", "torture-")
	g.must(err)
	g.dir = dir
	g.must(os.Chmod(dir, 0o777))
	return g
}

func (g *rig) isolate() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("new network and mount namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return err
	}
	g.netns, err = os.Open("/proc/thread-self/ns/net")
	return err
}

// close ends what still runs, and counts the try.
func (g *rig) close() {
	if g.closed {
		return
	}
	g.closed = true
	g.streams.stop()
	for _, r := range g.recorders {
		r.kill()
	}
	for i := len(g.undo) - 1; i >= 0; i-- {
		g.undo[i]()
	}
	if g.netns != nil {
		g.netns.Close()
	}
	switch {
	case g.failed && *keep:
		g.t.Logf("try %d: kept %s", g.try, g.dir)
	case g.dir != "":
		if err := os.RemoveAll(g.dir); err != nil {
			g.fault("remove %s: %v", g.dir, err)
		}
	}
	g.row.count(func() {
		g.row.tries++
		if !g.failed {
			g.row.survived++
		}
	})
}

// later does something when the try has ended.
func (g *rig) later(f func()) { g.undo = append(g.undo, f) }

// fault says what the recorder should have done and did not: the try has failed.
func (g *rig) fault(format string, args ...any) {
	g.t.Helper()
	g.failed = true
	g.t.Errorf("try %d: "+format, append([]any{g.try}, args...)...)
}

// must ends the try on an error of the rig itself.
func (g *rig) must(err error) {
	if err != nil {
		g.t.Helper()
		g.fault("the rig: %v", err)
		panic(giveUp{})
	}
}

// note keeps what was measured, one of each kind: the one that is worth most.
func (g *rig) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	g.row.count(func() {
		for _, n := range g.row.notes {
			if n == text {
				return
			}
		}
		if len(g.row.notes) < 4 {
			g.row.notes = append(g.row.notes, text)
		}
	})
}

// sh runs a shell script in the namespaces and returns what it prints.
func (g *rig) sh(format string, args ...any) string {
	g.t.Helper()
	script := fmt.Sprintf(format, args...)
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		g.must(fmt.Errorf("%s: %w: %s", script, err, out))
	}
	return string(out)
}

// path is a name in the folder of the try.
func (g *rig) path(name string) string { return filepath.Join(g.dir, name) }

// write makes a file.
func (g *rig) write(name, content string, mode os.FileMode) string {
	path := g.path(name)
	g.must(os.WriteFile(path, []byte(content), mode))
	g.must(os.Chmod(path, mode))
	return path
}

// folder makes a folder in which everybody may write.
func (g *rig) folder(name string) string {
	path := g.path(name)
	g.must(os.MkdirAll(path, 0o777))
	g.must(os.Chmod(path, 0o777))
	return path
}

// tmpfs mounts a small file system in memory.
func (g *rig) tmpfs(name, options string) string {
	path := g.folder(name)
	g.must(unix.Mount("none", path, "tmpfs", 0, options))
	g.must(os.Chmod(path, 0o777))
	g.later(func() { unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// eventually looks again and again until done says that it is so.
func (g *rig) eventually(what string, done func() bool) bool {
	g.t.Helper()
	return g.within(patience, what, done)
}

// within is eventually with a bound that the row demands.
func (g *rig) within(limit time.Duration, what string, done func() bool) bool {
	g.t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			g.fault("not within %v: %s", limit, what)
			return false
		}
	}
	return true
}

// leftDevices are those are in the namespace beside lo.
func (g *rig) leftDevices() (names []string) {
	links, err := netlink.LinkList()
	g.must(err)
	for _, l := range links {
		if l.Attrs().Name != "lo" {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

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
	once   sync.Once
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

// text is what the recorder has said.
func (r *recorder) text() string {
	b, _ := os.ReadFile(r.err) // "" where it is no file of the rig
	return string(b)
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
