package torture

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSignals sends signals at every phase.
func TestSignals(t *testing.T) {
	matrix(t, "stop-at-the-start", 4, 100, stopAtTheStart)
	matrix(t, "any-while-recording", 1, 10, anySignals)
	matrix(t, "stop-under-traffic-ring", 2, 20, func(g *rig) { g.stopUnderTraffic("ring") })
	matrix(t, "stop-under-traffic-read", 2, 20, func(g *rig) { g.stopUnderTraffic("read") })
	matrix(t, "stop-twice", 2, 20, stopTwice)
}

var stops = []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}

// stopAtTheStart stops a recorder in its first milliseconds: nothing is left that is
// not whole.
func stopAtTheStart(g *rig) {
	r := g.start(launch{args: []string{"-o", "a.pcapng"}, early: true})
	time.Sleep(time.Duration(g.rng.IntN(80)) * time.Millisecond)
	sig := stops[g.rng.IntN(len(stops))]
	r.signal(sig)
	code := r.wait("after " + unix.SignalName(sig))
	if left := g.leftDevices(); len(left) > 0 {
		g.fault("devices are left: %q", left)
	}
	a := g.account(captures(g.dir))
	g.tell(a, 0, 0, 0)
	for _, f := range a.files {
		if size(f) == 0 {
			g.fault("%s has 0 bytes (exit code %d after %v)", filepath.Base(f), code, sig)
		}
	}
	if code == 0 && a.cut > 0 {
		g.fault("exit code 0, and a file has no end")
	}
}

// anySignals sends signals that do not stop, a hundred at random times.
func anySignals(g *rig) {
	r := g.record("-o", "a.pcapng", "-b", "packets:3000")
	g.traffic(300, 8000)
	g.flowing()
	some := []unix.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT, unix.SIGWINCH, unix.SIGPIPE, unix.SIGURG, unix.SIGCHLD}
	for range 100 {
		r.signal(some[g.rng.IntN(len(some))])
		time.Sleep(time.Duration(g.rng.IntN(15)) * time.Millisecond)
	}
	g.lostNothing(r, demand{})
}

// stopUnderTraffic stops a recorder while packets go on to come, until there is no
// device any more.
func (g *rig) stopUnderTraffic(ingest string) {
	r := g.record("-o", "a.pcapng", "--ingest", ingest)
	g.traffic(300, 20_000)
	g.flowing()
	time.Sleep(time.Duration(50+g.rng.IntN(300)) * time.Millisecond)
	r.stop()
	g.streams.stop()
	g.judge(r, demand{})
}

// stopTwice ends a recorder at once: what was flushed is readable.
func stopTwice(g *rig) {
	r := g.record("-o", "a.pcapng")
	g.traffic(300, 20_000)
	g.flowing()
	time.Sleep(time.Duration(g.rng.IntN(500)) * time.Millisecond)
	now := time.Now()
	for !r.ended() {
		r.signal(unix.SIGTERM)
		time.Sleep(20 * time.Millisecond)
		if time.Since(now) > patience {
			g.fault("still runs after many signals")
			break
		}
	}
	r.kill()
	g.streams.stop()
	g.judgeKilled(captures(g.dir), now)
}
