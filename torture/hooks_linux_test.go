package torture

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestHooks has hooks misbehave: the recording does not notice, and ends in time.
func TestHooks(t *testing.T) {
	matrix(t, "hang", 1, 10, func(g *rig) { g.hook("exec sleep 600", "500ms") })
	matrix(t, "hang-deaf", 1, 10, func(g *rig) { g.hook(`trap "" TERM INT HUP; while :; do sleep 1; done`, "500ms") })
	matrix(t, "fork", 1, 10, func(g *rig) { g.hook("sleep 5 & sleep 5 & exit 0", "1s") })
	matrix(t, "flood-output", 1, 10, func(g *rig) { g.hook("exec yes and a long line of many words that nobody reads", "300ms") })
	matrix(t, "fail", 1, 10, func(g *rig) { g.hook("exit 7", "1s") })
	matrix(t, "kill-parent", 1, 10, func(g *rig) { g.hook("kill -USR1 $PPID; kill -HUP $PPID; exit 0", "1s") })
	matrix(t, "missing", 1, 10, hookMissing)
}

// hook records a series of five files with that hook.
func (g *rig) hook(script, timeout string) {
	g.write("hook", "#!/bin/sh\n"+script+"\n", 0o755)
	r := g.record("-o", "a.pcapng", "-b", "packets:1000", "--hook", g.path("hook"), "--hook-timeout", timeout)
	g.send(4500, 300, 8000)
	var most int64
	g.streams.stop()
	r.signal(unix.SIGTERM)
	for !r.ended() && most < 1<<30 {
		most = max(most, r.resident())
	}
	r.wait("its hooks have had their time")
	g.judge(r, demand{codes: []int{0, exitFailed}})
	if most > 512<<20 {
		g.fault("it took %d MiB", most>>20)
	}
	if s := r.summary(); s != nil && s.dropped() > 0 {
		g.fault("%d packets are lost:\n%s", s.dropped(), r.text())
	}
}

// hookMissing names a hook that is not there: refused at the start, in words, or told.
func hookMissing(g *rig) {
	r := g.start(launch{args: []string{"-o", "a.pcapng", "-b", "packets:1000", "--hook", "/nonexistent"}, early: true})
	g.eventually("it starts or ends", func() bool { return r.ended() || len(r.events("started")) > 0 })
	if r.ended() {
		if r.cmd.ProcessState.ExitCode() == 0 || len(captures(g.dir)) > 0 {
			g.fault("it ended with %v:\n%s", r.cmd.ProcessState, r.text())
		}
		return
	}
	g.send(2500, 300, 8000)
	g.lostNothing(r, demand{codes: []int{0, exitFailed}})
}
