package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Small things that every row needs.

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return -1
	}
	return info.Size()
}

func exitCode(err error) int {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
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
