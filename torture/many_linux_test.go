package torture

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/tunrec/tunrec/internal/load"
)

// TestMany has many recorders, and many packets.
func TestMany(t *testing.T) {
	matrix(t, "ten-at-once", 1, 10, tenAtOnce)
	matrix(t, "starts", 3, 200, oneOfManyStarts)
	alone(t, "packets", 0, 1, manyPackets)
}

// tenAtOnce starts ten recorders at the same moment: each has a device and an
// address of its own, and records what is sent to it, and nothing else.
func tenAtOnce(g *rig) {
	const recorders, packets = 10, 500
	var all []*recorder
	for i := range recorders {
		dir := g.folder(fmt.Sprintf("r%d", i))
		all = append(all, g.start(launch{bare: true, early: true, args: []string{"-o", dir + "/a.pcapng", "--json", "--flush", "100ms"}}))
	}
	targets := map[netip.Addr]bool{}
	for i, r := range all {
		if !g.eventually("all start: "+r.text(), func() bool { return r.ended() || r.target().IsValid() }) || r.ended() {
			g.fault("recorder %d ended: %s", i, r.text())
			continue
		}
		to := r.target()
		targets[to] = true
		g.must(g.run(g.t.Context(), load.Config{Packets: packets, PayloadBytes: 100, Dst: netip.AddrPortFrom(to, 1), PacketsPerSecond: 10_000}))
	}
	if len(targets) != recorders {
		g.fault("%d recorders have %d addresses", recorders, len(targets))
	}
	var lost uint64
	for i, r := range all {
		if code := r.stop(); code != 0 {
			g.fault("recorder %d: exit code %d: %s", i, code, r.text())
		}
		if s := r.summary(); s == nil || s.Recorded != packets {
			g.fault("recorder %d, of %d packets: %+v", i, packets, s)
		} else {
			lost += s.gone()
		}
	}
	a := g.account(captures(g.dir))
	g.tell(a, g.streams.sent(), lost, int64(g.streams.sent())-int64(a.ours)-int64(lost))
	if left := g.leftDevices(); len(left) > 0 {
		g.fault("devices are left: %q", left)
	}
}

// target is the address that a recorder's device leads to.
func (r *recorder) target() netip.Addr {
	for _, e := range r.events("started") {
		if len(e.Addresses) > 0 {
			_, to, _ := strings.Cut(e.Addresses[0], ",")
			a, _ := netip.ParseAddr(to)
			return a
		}
	}
	return netip.Addr{}
}

// oneOfManyStarts looks at what a recorder has of the kernel's: no device, program
// or map of it is left.
func oneOfManyStarts(g *rig) {
	r := g.record("-o", "a.pcapng")
	programs, maps := r.kernelObjects()
	if len(programs)+len(maps) == 0 {
		g.fault("the recorder holds no program and no map: nothing to look for:\n%s", r.text())
	}
	g.send(200, 100, 0)
	g.end(r, demand{})
	if left := g.leftDevices(); len(left) > 0 {
		g.fault("devices are left: %q", left)
	}
	g.note("each had %d programs and maps of the kernel's", len(programs)+len(maps))
	g.eventually("the programs are gone", func() bool {
		return gone(programs, func(id ebpf.ProgramID) (closer, error) { return ebpf.NewProgramFromID(id) })
	})
	g.eventually("the maps are gone", func() bool {
		return gone(maps, func(id ebpf.ProgramID) (closer, error) { return ebpf.NewMapFromID(ebpf.MapID(id)) })
	})
}

type closer interface{ Close() error }

func gone(ids []ebpf.ProgramID, open func(ebpf.ProgramID) (closer, error)) bool {
	for _, id := range ids {
		c, err := open(id)
		if err == nil {
			c.Close()
			return false
		}
		if !errors.Is(err, os.ErrNotExist) {
			return false
		}
	}
	return true
}

// kernelObjects are the eBPF programs and maps that the recorder holds, by number.
func (r *recorder) kernelObjects() (programs, maps []ebpf.ProgramID) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", r.cmd.Process.Pid))
	for _, f := range files {
		b, _ := os.ReadFile(f) // it may be closed meanwhile
		for line := range strings.Lines(string(b)) {
			var id ebpf.ProgramID
			if n, _ := fmt.Sscanf(line, "prog_id:\t%d", &id); n == 1 {
				programs = append(programs, id)
			}
			if n, _ := fmt.Sscanf(line, "map_id:\t%d", &id); n == 1 {
				maps = append(maps, id)
			}
		}
	}
	return programs, maps
}

// manyPackets is one long recording; with -detect and -packets 100000000 the
// hundred million under the race detector.
func manyPackets(g *rig) {
	perSecond := 0
	if *race {
		perSecond = 200_000 // about what it takes then
	}
	r := g.record("-o", "a.pcapng", "-b", "filesize:200MB")
	g.must(g.run(g.t.Context(), load.Config{
		Packets: *packetsOf, PayloadBytes: 64, Segments: 32, PacketsPerSecond: perSecond,
	}))
	g.end(r, demand{codes: []int{0, exitLost}})
	if strings.Contains(r.text(), "DATA RACE") {
		g.fault("a race:\n%s", r.text())
	}
}
