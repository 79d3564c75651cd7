package torture

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFaults has single operations fail, once or for good, through a FUSE file
// system. Once: a series loses nothing, and its files are whole. For good: what
// cannot be written is counted, what was written stays readable.
func TestFaults(t *testing.T) {
	for _, o := range []struct {
		name string
		op   op
	}{{"write", opWrite}, {"fsync", opFsync}, {"close", opClose}, {"create", opCreate}, {"rename", opRename}, {"link", opLink}} {
		matrix(t, o.name+"-EIO-once-series", 1, 10, func(g *rig) { g.failsOnce(o.op, fault{errno: syscall.EIO, times: 1}) })
		matrix(t, o.name+"-EIO-for-good-series", 1, 10, func(g *rig) { g.failsForGood(o.op, fault{errno: syscall.EIO}) })
	}
	for _, o := range []struct {
		name string
		op   op
	}{{"write", opWrite}, {"fsync", opFsync}, {"close", opClose}} {
		matrix(t, o.name+"-EIO-once-one", 1, 10, func(g *rig) { g.failsOne(o.op, fault{errno: syscall.EIO, times: 1}) })
	}
	matrix(t, "write-torn-once-series", 1, 10, func(g *rig) { g.failsOnce(opWrite, fault{errno: syscall.EIO, torn: true, times: 1}) })
	matrix(t, "write-torn-for-good-series", 1, 10, func(g *rig) { g.failsForGood(opWrite, fault{errno: syscall.EIO, torn: true}) })
	matrix(t, "write-torn-once-one", 1, 10, func(g *rig) { g.failsOne(opWrite, fault{errno: syscall.EIO, torn: true, times: 1}) })
	matrix(t, "write-EROFS-series", 1, 10, func(g *rig) { g.failsForGood(opWrite, fault{errno: syscall.EROFS}) })
	matrix(t, "write-EDQUOT-once-series", 1, 10, func(g *rig) { g.failsOnce(opWrite, fault{errno: syscall.EDQUOT, times: 1}) })
	matrix(t, "unlink-EIO-for-a-while", 1, 10, unlinkFails)
	matrix(t, "short-writes", 1, 10, shortWrites)
	matrix(t, "fsync-EIO-for-a-while-files5", 1, 10, fsyncAndRetention)
	matrix(t, "slow-disk-50ms", 1, 10, func(g *rig) { g.slow(50*time.Millisecond, 0) })
	matrix(t, "stall-1s", 1, 10, func(g *rig) { g.slow(time.Second, 1) })
	matrix(t, "stall-5s", 0, 20, func(g *rig) { g.slow(5*time.Second, 1) })
	matrix(t, "stop-while-stalled", 1, 10, stopWhileStalled)
}

// failsOnce lets an operation of a series fail, and judges the whole of it.
func (g *rig) failsOnce(o op, what fault) {
	f := g.faulty()
	f.named = o == opRename || o == opCreate
	r := g.record("-o", f.mount+"/a.pcapng", "-b", "packets:1000", "--sync", "flush")
	g.send(2500, 300, 8000)
	f.set(o, what)
	g.send(2500, 300, 8000)
	g.settle(r, f, o)
	codes := []int{0}
	if o == opFsync || o == opClose {
		codes = append(codes, exitFailed) // not every packet may be safe: that is said
	}
	g.lostNothing(r, demand{in: f.root, codes: codes})
	g.asked(f, o)
	g.noEmpty(f)
}

// settle gives a retry the time it takes, where there is something to retry.
func (g *rig) settle(r *recorder, f *faultFS, o op) {
	if len(r.events("trouble")) > 0 {
		g.eventually("writing goes on", func() bool { return len(r.events("recovered")) > 0 })
	}
	f.heal()
}

// asked notes that an operation is not one that a recording asks for.
func (g *rig) asked(f *faultFS, o op) {
	if f.times(o) == 0 {
		g.note("never asked for")
	}
}

func (g *rig) noEmpty(f *faultFS) {
	g.t.Helper()
	for _, file := range captures(f.root) {
		if size(file) == 0 {
			g.fault("%s has 0 bytes", file)
		}
	}
}

// failsForGood lets an operation fail until the end: the recording is stopped in it.
func (g *rig) failsForGood(o op, what fault) {
	f := g.faulty()
	f.named = o == opRename || o == opCreate
	r := g.record("-o", f.mount+"/a.pcapng", "-b", "packets:1000", "--sync", "flush")
	g.send(2500, 300, 8000)
	f.set(o, what)
	g.send(2500, 300, 8000)
	g.streams.stop()
	r.stop()
	f.heal()
	g.judge(r, demand{in: f.root, codes: []int{0, exitFailed, exitLost}, cut: true, untold: true})
	g.noEmpty(f)
	g.asked(f, o)
	if n := len(r.events("trouble")); n > 2 {
		g.fault("one trouble was told %d times:\n%s", n, r.text())
	}
	if n := len(captures(f.root)); n > 8 {
		g.fault("5,000 packets in files of 1,000 have made %d files", n)
	}
}

// failsOne lets an operation on the only file fail: it may end the recording, and
// then says so.
func (g *rig) failsOne(o op, what fault) {
	f := g.faulty()
	r := g.record("-o", f.mount+"/a.pcapng", "--sync", "flush")
	g.send(2500, 300, 8000)
	asked := f.set(o, what)
	g.traffic(300, 5000)
	if o == opClose { // which comes at the end only
		g.flowing()
	} else {
		g.eventually("the operation", func() bool { return f.times(o) > asked || r.ended() })
	}
	g.streams.stop()
	r.stop()
	f.heal()
	g.judge(r, demand{in: f.root, codes: []int{0, exitFailed, exitLost}, cut: true, untold: true})
	if o == opWrite && !strings.Contains(r.text(), "input/output error") {
		g.fault("it does not say what failed:\n%s", r.text())
	}
}

// unlinkFails keeps retention from removing files for a while: the recording goes
// on, and the newest files are there.
func unlinkFails(g *rig) {
	f := g.faulty()
	r := g.record("-o", f.mount+"/a.pcapng", "-b", "packets:500", "-b", "files:3")
	g.send(2000, 300, 8000)
	f.set(opUnlink, fault{errno: syscall.EIO})
	g.send(1500, 300, 8000)
	f.heal()
	last := g.send(1500, 300, 8000)
	r.stop()
	s := r.summary()
	a := g.account(captures(f.root))
	g.tell(a, g.streams.sent(), 0, 0)
	g.verify(a.files)
	if code := r.cmd.ProcessState.ExitCode(); code != 0 || s == nil || s.dropped() > 0 || a.ours < last-500 {
		g.fault("exit code %d, %+v, %d packets in files:\n%s", code, s, a.ours, r.text())
	}
}

// shortWrites takes half of what it is given: write(2) may do that.
func shortWrites(g *rig) {
	f := g.faulty()
	f.set(opWrite, fault{short: true})
	r := g.record("-o", f.mount+"/a.pcapng", "-b", "packets:1000")
	g.send(3000, 300, 8000)
	g.lostNothing(r, demand{in: f.root})
}

// fsyncAndRetention has fsync fail for a while: no new file for every chunk, and the
// five good ones stay.
func fsyncAndRetention(g *rig) {
	f := g.faulty()
	r := g.record("-o", f.mount+"/a.pcapng", "--sync", "flush", "-b", "packets:1000", "-b", "files:5")
	g.send(4500, 300, 8000)
	g.eventually("five files", func() bool { return len(captures(f.root)) >= 5 })
	n := f.set(opFsync, fault{errno: syscall.EIO})
	g.traffic(300, 300) // a chunk at every flush, less than a file in all
	g.eventually("five failures of fsync", func() bool { return f.times(opFsync) >= n+5 })
	g.streams.stop()
	f.heal()
	g.send(50, 300, 0)
	g.lostNothing(r, demand{in: f.root, codes: []int{0, exitFailed}})
}

// slow has writes take their time: memory holds what comes meanwhile.
func (g *rig) slow(delay time.Duration, times int) {
	f := g.faulty()
	r := g.record("-o", f.mount+"/a.pcapng", "-b", "packets:5000")
	g.send(1000, 300, 8000)
	n := f.set(opWrite, fault{delay: delay, times: times})
	g.traffic(300, 8000)
	g.eventually("a slow write", func() bool { return f.times(opWrite) > n })
	time.Sleep(delay + 500*time.Millisecond) // traffic meanwhile is the row
	g.lostNothing(r, demand{in: f.root})
}

// stopWhileStalled stops a recording whose disk stands still: it ends when the disk
// goes on, and nothing is lost.
func stopWhileStalled(g *rig) {
	f := g.faulty()
	r := g.record("-o", f.mount+"/a.pcapng")
	g.send(1000, 300, 8000)
	n := f.set(opWrite, fault{delay: 1500 * time.Millisecond, times: 1})
	g.send(1000, 300, 8000)
	g.eventually("a slow write", func() bool { return f.times(opWrite) > n })
	g.lostNothing(r, demand{in: f.root})
}
