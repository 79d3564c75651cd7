package torture

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDevice takes the device away, or changes it, under traffic.
func TestDevice(t *testing.T) {
	for i, ingest := range []string{"ring", "read"} {
		short := 1 - i // the two differ little in these
		matrix(t, "deleted-"+ingest, 1, 10, func(g *rig) { g.deviceDeleted(ingest) })
		matrix(t, "down-and-up-"+ingest, 1, 10, func(g *rig) {
			g.deviceChanged(ingest, "ip link set tort0 down; sleep 0.2; ip link set tort0 up")
		})
		matrix(t, "renamed-"+ingest, short, 10, func(g *rig) {
			g.deviceChanged(ingest, "ip link set tort0 down; ip link set tort0 name other0; ip link set other0 up")
		})
		matrix(t, "mtu-"+ingest, short, 10, func(g *rig) {
			g.deviceChanged(ingest, "for m in 600 9000 1500 68 65535; do ip link set tort0 mtu $m; sleep 0.05; done")
		})
		matrix(t, "address-removed-"+ingest, short, 10, func(g *rig) {
			g.deviceChanged(ingest, "ip addr flush dev tort0; sleep 0.1; ip addr add 10.9.0.1 peer 10.9.0.2 dev tort0")
		})
		matrix(t, "SIGSTOP-"+ingest, 1, 10, func(g *rig) { g.standsStill(ingest) })
	}
	matrix(t, "queue-shortened-read", 1, 10, queueShortened)
	matrix(t, "namespace-gone", 1, 10, namespaceGone)
}

// deviceDeleted deletes the device: the recording ends, and says why.
func (g *rig) deviceDeleted(ingest string) {
	r := g.record("-o", "a.pcapng", "--ingest", ingest)
	g.traffic(300, 5000)
	g.flowing()
	time.Sleep(time.Duration(100+g.rng.IntN(300)) * time.Millisecond)
	g.sh("ip link del %s", device)
	r.wait("its device has gone")
	g.streams.stop()
	g.judge(r, demand{codes: []int{0, exitFailed}, atLeast: true}) // what waited in the kernel went with it
}

// deviceChanged changes the device: the recording goes on.
func (g *rig) deviceChanged(ingest, script string) {
	r := g.record("-o", "a.pcapng", "--ingest", ingest)
	g.traffic(300, 5000)
	g.flowing()
	time.Sleep(time.Duration(50+g.rng.IntN(200)) * time.Millisecond)
	g.sh("%s", script)
	g.send(300, 50, 5000)
	g.end(r, demand{})
	if left := g.leftDevices(); len(left) > 0 {
		g.fault("devices are left: %q", left)
	}
}

// standsStill stops the process for a while: what the kernel cannot hold is counted.
func (g *rig) standsStill(ingest string) {
	r := g.record("-o", "a.pcapng", "--ingest", ingest)
	g.send(500, 300, 5000)
	r.signal(unix.SIGSTOP)
	g.send(30_000, 300, 60_000)
	r.signal(unix.SIGCONT)
	g.send(500, 300, 5000)
	g.end(r, demand{})
}

// queueShortened has packets wait in a queue that is then made shorter: how many
// the kernel throws away nobody counts, so the count is a lower bound and says so.
func queueShortened(g *rig) {
	r := g.record("-o", "a.pcapng", "--ingest", "read")
	g.send(100, 300, 5000)
	r.signal(unix.SIGSTOP)
	g.send(8000, 300, 0)
	g.sh("ip link set %s txqueuelen 10", device)
	r.signal(unix.SIGCONT)
	g.send(100, 300, 5000)
	g.end(r, demand{atLeast: true})
	if s := r.summary(); s != nil && s.Exact {
		g.fault("the queue was shortened, and the count of drops claims to be exact:\n%s", r.text())
	}
}

// namespaceGone records in a namespace whose name is removed meanwhile.
func namespaceGone(g *rig) {
	// The names of namespaces are in /run: one of our own shows nowhere else.
	g.must(unix.Mount("none", "/run", "tmpfs", 0, ""))
	g.later(func() { unix.Unmount("/run", unix.MNT_DETACH) })
	g.sh("ip netns add gone; ip -n gone link set lo up")
	r := g.record("-o", "a.pcapng", "--netns", "gone")
	home := g.netns
	other, err := os.Open("/run/netns/gone")
	g.must(err)
	g.netns = other
	g.send(1000, 300, 5000)
	g.netns = home
	other.Close() // it would keep the namespace
	g.sh("ip netns del gone")
	time.Sleep(200 * time.Millisecond) // the kernel clears namespaces away beside us
	g.end(r, demand{codes: []int{0, exitFailed}})
}

// TestClock has times that jump. The wall clock of this machine is not ours to set:
// a file as the source has the jumps of the wall clock, and a time namespace those
// of the monotonic one, from which kernel stamps are made.
func TestClock(t *testing.T) {
	matrix(t, "stamps-jump", 1, 10, stampsJump)
	for _, ingest := range []string{"ring", "read"} {
		matrix(t, "monotonic-shifted-"+ingest, 1, 5, func(g *rig) { g.monotonicShifted(ingest) })
	}
}

// stampsJump records a capture whose clock was set back and forth by hours, into
// files of an hour.
func stampsJump(g *rig) {
	const packets = 5000
	b := pcapHeader()
	at := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	for i := range packets {
		if i%500 == 499 {
			at = at.Add(time.Duration(g.rng.IntN(10*3600)-5*3600) * time.Second)
		}
		at = at.Add(10 * time.Millisecond)
		b = appendPcap(b, at, packet(firstPort, uint64(i)))
	}
	in := g.write("in.pcap", string(b), 0o644)
	r := g.start(launch{bare: true, early: true, args: []string{"-r", in, "-o", "a.pcapng", "-b", "interval:1h", "--json"}})
	r.wait("a file was read to its end")
	g.streams.add(peerAddr()).Sent = packets
	g.judge(r, demand{})
}

// monotonicShifted records in a time namespace whose monotonic clock is a day ahead
// of the kernel's: stamps are those of the wall clock all the same.
func (g *rig) monotonicShifted(ingest string) {
	const day = "86400"
	r := g.start(launch{
		wrap: []string{"unshare", "--time", "--monotonic", day, "--boottime", day},
		args: []string{"-o", "a.pcapng", "--ingest", ingest},
	})
	if out, err := exec.Command("readlink", "/proc/self/ns/time").Output(); err != nil || string(out) == readlink(r) {
		g.fault("the recorder is in no time namespace of its own: %v", err)
	}
	g.send(1000, 300, 5000)
	a := g.end(r, demand{})
	if off := time.Duration(a.worstStamp); off > time.Minute {
		g.fault("stamps are off by %v", off)
	}
}

func readlink(r *recorder) string {
	out, _ := exec.Command("readlink", "/proc/"+itoa(r.cmd.Process.Pid)+"/ns/time").Output()
	return string(out)
}
