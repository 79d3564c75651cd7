package torture

import (
	"io"
	"os"
	"slices"
	"testing"
	"time"
)

// TestKill kills a recorder with SIGKILL at any moment, from its first millisecond
// on, under traffic: what the files have has no holes that they do not tell of.
func TestKill(t *testing.T) {
	for _, form := range []struct {
		name string
		args []string
	}{
		{"zstd", []string{"-o", "a.pcapng"}},
		{"zstd-read", []string{"-o", "a.pcapng", "--ingest", "read"}},
		{"zstd-best", []string{"-o", "a.pcapng", "--compress", "zstd:best"}},
		{"plain", []string{"-o", "a.pcapng", "--compress", "none"}},
		{"series", []string{"-o", "a.pcapng", "-b", "packets:2000"}},
		{"series-plain", []string{"-o", "a.pcapng", "-b", "filesize:500kB", "-b", "files:5", "--compress", "none"}},
		{"sync-flush", []string{"-o", "a.pcapng", "-b", "packets:5000", "--sync", "flush"}},
	} {
		matrix(t, form.name, 2, 38, func(g *rig) { g.killed(form.args) })
	}
	matrix(t, "stream", 1, 38, killedStream)
}

func (g *rig) killed(args []string) {
	r := g.start(launch{args: args, early: true})
	g.traffic(300, 20_000)
	if g.try%4 != 0 { // else at the start
		g.flowing()
	}
	time.Sleep(time.Duration(g.rng.IntN(600)) * time.Millisecond)
	now := time.Now()
	r.kill()
	g.streams.stop()
	if left := g.leftDevices(); len(left) > 0 {
		g.fault("devices are left: %q", left)
	}
	files := captures(g.dir)
	if slices.Contains(args, "files:5") { // older ones have been removed, and with them packets
		g.judgeSeries(files)
		return
	}
	g.judgeKilled(files, now)
}

// judgeSeries is judgeKilled where retention has removed files: there is nothing to
// say of holes.
func (g *rig) judgeSeries(files []string) {
	a := g.account(files)
	g.tell(a, g.streams.sent(), a.dropped, 0)
	g.repair(files, a)
}

// killedStream kills a recorder that writes to a pipe: what came through is readable.
func killedStream(g *rig) {
	in, out, err := os.Pipe()
	g.must(err)
	file, err := os.Create(g.path("stream.pcapng"))
	g.must(err)
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(file, in)
		copied <- err
	}()
	r := g.start(launch{args: []string{"-o", "-"}, stdout: out})
	out.Close()
	g.traffic(300, 20_000)
	time.Sleep(time.Duration(g.rng.IntN(700)) * time.Millisecond)
	now := time.Now()
	r.kill()
	g.streams.stop()
	g.must(<-copied)
	in.Close()
	g.must(file.Close())
	g.judgeKilled(captures(g.dir), now)
}
