package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/load"
)

// TestLimits takes away what a recorder may have: descriptors, memory, processors,
// privileges, /proc and /sys.
func TestLimits(t *testing.T) {
	matrix(t, "descriptors", 2, 40, func(g *rig) { g.refusedOrWhole("prlimit", fmt.Sprintf("--nofile=%d", 4+g.try*29%60)) })
	matrix(t, "address-space", 2, 20, func(g *rig) { g.refusedOrWhole("prlimit", fmt.Sprintf("--as=%d", int64(64+g.try*331%1600)<<20)) })
	matrix(t, "one-cpu", 1, 10, func(g *rig) { g.withWrap(demand{}, "taskset", "-c", "0") })
	matrix(t, "no-CAP_BPF", 1, 10, noBPF)
	matrix(t, "no-proc", 1, 10, func(g *rig) {
		g.withWrap(demand{}, "unshare", "-m", "sh", "-c", `mount -t tmpfs none /proc; exec "$@"`, "sh")
	})
	matrix(t, "no-sys", 1, 10, func(g *rig) {
		g.withWrap(demand{}, "unshare", "-m", "sh", "-c", `mount -t tmpfs none /sys; exec "$@"`, "sh")
	})
	matrix(t, "memory-cgroup-enough", 0, 10, func(g *rig) { g.inCgroup(256<<20, false) })
	matrix(t, "memory-cgroup-too-small", 0, 10, func(g *rig) { g.inCgroup(48<<20, true) })
	alone(t, "flood-zstd-best-read", 0, 1, func(g *rig) { g.flood(*floodFor, "read") })
	alone(t, "flood-zstd-best-ring", 0, 1, func(g *rig) { g.flood(*floodFor, "ring") })
	matrix(t, "flood-short", 1, 0, func(g *rig) { g.flood(2*time.Second, "ring") })
}

// withWrap records under a program that takes something away: nothing shows.
func (g *rig) withWrap(d demand, wrap ...string) *recorder {
	r := g.start(launch{wrap: wrap, args: []string{"-o", "a.pcapng", "-b", "packets:3000"}})
	g.send(8000, 300, 20_000)
	g.end(r, d)
	if left := g.leftDevices(); len(left) > 0 {
		g.fault("devices are left: %q", left)
	}
	return r
}

func noBPF(g *rig) {
	r := g.withWrap(demand{}, "setpriv", "--bounding-set", "-bpf,-sys_admin,-perfmon", "--inh-caps", "-all")
	if !strings.Contains(r.text(), "ingest read") {
		g.fault("it does not say that it reads:\n%s", r.text())
	}
}

// refusedOrWhole records under a limit that may be too low: then it says so and
// leaves nothing, or it records, and all is there.
func (g *rig) refusedOrWhole(wrap ...string) {
	r := g.start(launch{wrap: wrap, args: []string{"-o", "a.pcapng", "-b", "packets:1000"}, early: true})
	started := false
	for end := time.Now().Add(patience); !r.ended() && !started && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		started = strings.Contains(r.text(), "recording ")
	}
	if !started {
		code := r.wait("and does not record")
		if code == 0 {
			g.fault("exit code 0, and nothing was recorded")
		}
		if a := g.account(captures(g.dir)); len(a.files) > 0 {
			g.fault("files are left: %q", a.files)
		}
		if left := g.leftDevices(); len(left) > 0 {
			g.fault("devices are left: %q", left)
		}
		switch text := r.text(); {
		case strings.Contains(text, "tunrec: error: "):
		case strings.HasPrefix(text, "fatal error: ") || strings.HasPrefix(text, "runtime: "):
			g.note("in some, Go's runtime gives up before the program begins")
		default:
			g.fault("%q: it gives no reason, in words: %.300s", wrap, text)
		}
		return
	}
	g.send(3500, 300, 20_000)
	g.streams.stop()
	now := time.Now()
	r.stop()
	if r.summary() == nil {
		g.note("in some, Go's runtime gives up while it records")
		if !strings.Contains(r.text(), "out of memory") && !strings.Contains(r.text(), "cannot allocate memory") {
			g.fault("%q: it ended without a word: %.300s", wrap, r.text())
		}
		g.judgeKilled(captures(g.dir), now)
		return
	}
	g.judge(r, demand{codes: []int{0, exitLost}, cut: true, untold: true})
}

// cgroup makes a memory cgroup, of version 2 where it has the controller, else of
// version 1, in the try's own mounts. It returns the file that takes processes.
func (g *rig) cgroup(limit int64) (procs string) {
	at := g.folder("cgroup")
	limitFile := "memory.max"
	if err := unix.Mount("none", at, "cgroup2", 0, ""); err == nil {
		g.later(func() { unix.Unmount(at, unix.MNT_DETACH) })
		if b, _ := os.ReadFile(filepath.Join(at, "cgroup.subtree_control")); !strings.Contains(string(b), "memory") {
			err = os.WriteFile(filepath.Join(at, "cgroup.subtree_control"), []byte("+memory"), 0)
			if err != nil {
				unix.Unmount(at, unix.MNT_DETACH)
				g.must(unix.Mount("none", at, "cgroup", 0, "memory"))
				limitFile = "memory.limit_in_bytes"
			}
		}
	} else {
		g.must(fmt.Errorf("no cgroups: %w", err))
	}
	own := filepath.Join(at, filepath.Base(g.dir))
	g.must(os.Mkdir(own, 0o755))
	g.later(func() { unix.Rmdir(own) })
	g.must(os.WriteFile(filepath.Join(own, limitFile), []byte(fmt.Sprint(limit)), 0))
	return filepath.Join(own, "cgroup.procs")
}

// inCgroup floods a recorder in a memory cgroup. In one that is too small the kernel
// kills it, or it refuses to start.
func (g *rig) inCgroup(limit int64, maybeKilled bool) {
	procs := g.cgroup(limit)
	r := g.start(launch{
		wrap:  []string{"sh", "-c", `echo $$ >"$0"; exec "$@"`, procs},
		args:  []string{"-o", "a.pcapng", "-b", "filesize:20MB"},
		early: maybeKilled,
	})
	g.trafficOf(load.Config{PayloadBytes: 1000, Random: true})
	time.Sleep(3 * time.Second) // the row is a flood of that long
	now := time.Now()
	g.streams.stop()
	if !r.ended() {
		r.stop()
	}
	if r.summary() == nil {
		if !maybeKilled {
			g.fault("it ended with %v:\n%s", r.cmd.ProcessState, r.text())
		}
		g.note("killed by the kernel in some")
		g.judgeKilled(captures(g.dir), now)
		return
	}
	g.judge(r, demand{codes: []int{0, exitLost}})
}

// flood sends as fast as one thread can, by UDP_SEGMENT, to a recorder that takes
// half of it at the most: memory stays flat, and a second after it nothing is lost
// any more.
func (g *rig) flood(d time.Duration, ingest string) {
	r := g.record("-o", "a.pcapng", "--compress", "zstd:best", "--ingest", ingest)
	g.trafficOf(load.Config{PayloadBytes: 100, Segments: 32, Random: true})
	g.flowing()
	var early, late int64
	for start := time.Now(); time.Since(start) < d; time.Sleep(50 * time.Millisecond) {
		if time.Since(start) < d/2 {
			early = max(early, r.resident())
		} else {
			late = max(late, r.resident())
		}
	}
	g.streams.stop()
	time.Sleep(time.Second) // what the issue gives it
	r.signal(unix.SIGUSR1)
	g.eventually("counts", func() bool { return len(r.events("counts")) > 0 })
	before := r.counts("counts").dropped()
	g.send(3000, 100, 3000)
	g.end(r, demand{codes: []int{0, exitLost}})
	if s := r.summary(); s != nil {
		if s.dropped() != before {
			g.fault("a second after the flood, %d of 3,000 packets at 3,000 a second are lost", s.dropped()-before)
		}
		g.note("%.1f%% lost, %d MiB resident", 100*float64(s.dropped())/float64(g.streams.sent()), late>>20)
	}
	if late > early+early/5+16<<20 {
		g.fault("memory grew from %d to %d MiB", early>>20, late>>20)
	}
}
