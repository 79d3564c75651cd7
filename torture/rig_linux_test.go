package torture

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
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

func newRig(t *testing.T, r *row, try int) *rig {
	return &rig{
		t: t, row: r, try: try, streams: &streams{},
		rng: rand.New(rand.NewPCG(uint64(try), uint64(len(r.name)))),
	}
}

// prepare has to be called in a goroutine of the try's own: its thread is locked
// for good.
func (g *rig) prepare() {
	runtime.LockOSThread()
	g.must(g.isolate())
	dir, err := os.MkdirTemp("", "torture-")
	g.must(err)
	g.dir = dir
	g.must(os.Chmod(dir, 0o777))
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

// note keeps what was measured, up to four different ones of all tries.
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

// worst keeps the longest time of a kind over all tries of a row.
func (g *rig) worst(format string, d time.Duration) {
	kind, _, _ := strings.Cut(format, "%v")
	text := fmt.Sprintf(format, d.Round(time.Millisecond))
	g.row.count(func() {
		if g.row.times == nil {
			g.row.times = map[string]time.Duration{}
		}
		old, known := g.row.times[kind]
		if known && old >= d {
			return
		}
		g.row.times[kind] = d
		for i, n := range g.row.notes {
			if strings.HasPrefix(n, kind) {
				g.row.notes[i] = text
				return
			}
		}
		g.row.notes = append(g.row.notes, text)
	})
}
