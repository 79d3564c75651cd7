package torture

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Exit codes of tunrec(1).
const (
	exitFailed = 1
	exitUsage  = 2
	exitLost   = 3
)

// demand is what a row wants of a recording that has ended by itself. The zero
// value: exit code 0, every file whole, every loss told and in a file.
type demand struct {
	in      string // where the files are; "": below the try's folder
	codes   []int  // nil: 0
	cut     bool   // files may be without an end: the trouble lasts
	atLeast bool   // the count of drops may be a lower bound, if it says so
	untold  bool   // losses need not be in a file: the trouble lasts
}

// end stops the senders and the recorder, and judges.
func (g *rig) end(r *recorder, d demand) *account {
	g.t.Helper()
	g.streams.stop()
	r.stop()
	return g.judge(r, d)
}

// judge accounts for a recording that has ended by itself.
func (g *rig) judge(r *recorder, d demand) *account {
	g.t.Helper()
	code, s := r.cmd.ProcessState.ExitCode(), r.summary()
	if testing.Verbose() {
		g.t.Logf("try %d: exit code %d:\n%s", g.try, code, r.text())
	}
	if d.codes == nil {
		d.codes = []int{0}
	}
	if !slices.Contains(d.codes, code) {
		g.fault("exit code %d, want one of %d:\n%s", code, d.codes, r.text())
	}
	files := captures(cmp.Or(d.in, g.dir))
	lost := s != nil && s.DroppedNoSlab+s.DroppedByWrite+s.Meddled > 0
	if lost != (code == exitLost) && (code == 0 || code == exitLost) {
		g.fault("exit code %d, and lost after they had been read: %t", code, lost)
	}
	a := g.account(files)
	if s == nil {
		g.fault("it ended (%v) without a summary:\n%s", r.cmd.ProcessState, r.text())
		s = new(summary)
	}
	sent := g.streams.sent()
	unexplained := int64(sent) - int64(a.ours) - int64(s.gone())
	if d.atLeast && !s.Exact && unexplained > 0 {
		g.note("more lost than the lower bound that is told")
		unexplained = 0
	}
	g.tell(a, sent, s.gone(), unexplained)
	if unexplained != 0 {
		g.fault("%d unexplained: %d sent, %d in files (%d others), told as lost %+v:\n%s",
			unexplained, sent, a.ours, a.packets-a.ours, *s, r.text())
	}
	if a.packets+s.Meddled != s.Recorded {
		g.fault("%d packets are recorded, it says, and %d are in files", s.Recorded, a.packets)
	}
	if !d.untold && a.dropped != s.dropped() {
		g.fault("%d packets are lost, it says, and files say %d", s.dropped(), a.dropped)
	}
	if a.cut > 0 && !d.cut {
		g.fault("%d of %d files have no end:\n%s", a.cut, len(files), r.text())
	}
	if a.cut == 0 {
		g.verify(files)
	}
	return a
}

// tell adds what a recording has shown to the row.
func (g *rig) tell(a *account, sent, lost uint64, unexplained int64) {
	g.t.Helper()
	g.row.count(func() {
		g.row.sent += sent
		g.row.lost += lost
		g.row.unexplained += max(unexplained, -unexplained)
		g.row.refused += len(a.refused)
	})
	if a.twice > 0 {
		g.fault("%d packets are in the files twice", a.twice)
	}
	for _, why := range a.refused {
		g.fault("refused: %s", why)
	}
}

// verify has tunrec check every byte of whole files.
func (g *rig) verify(files []string) {
	g.t.Helper()
	if len(files) == 0 {
		return
	}
	if out, err := exec.Command(tunrec, append([]string{"verify", "-q"}, files...)...).CombinedOutput(); err != nil {
		g.fault("verify: %v: %s", err, out)
	}
}

// judgeKilled accounts for a recording that had no time for a last word. What was
// in memory is gone; it is nothing but the end of what was sent.
func (g *rig) judgeKilled(files []string, killed time.Time) *account {
	g.t.Helper()
	a := g.account(files)
	unexplained := max(0, int64(a.holes)-int64(a.dropped)-g.streams.refusals())
	sent := g.streams.sent()
	g.tell(a, sent, a.dropped, unexplained)
	if unexplained > 0 {
		g.fault("%d holes in what is in the files, which tell of %d", a.holes, a.dropped)
	}
	for _, f := range files {
		if size(f) == 0 {
			g.fault("%s has 0 bytes", filepath.Base(f))
		}
	}
	if a.ours > 0 {
		g.worst("youngest packet %v before the end", killed.Sub(time.Unix(0, a.last)))
	}
	g.repair(files, a)
	return a
}

// repair makes whole files of files that are cut off: nothing that could be read
// is missing in them.
func (g *rig) repair(files []string, before *account) {
	g.t.Helper()
	whole := g.repaired(files)
	if len(whole) != len(files) {
		g.fault("repair made %d files of %d", len(whole), len(files))
	}
	a := g.account(whole)
	if want := max(before.packets, before.shown); a.packets < want || a.cut > 0 || len(a.refused) > 0 {
		g.fault("repaired: %d of %d packets, %d without an end, refused %q", a.packets, want, a.cut, a.refused)
	}
}

// repaired are the files that tunrec repair makes.
func (g *rig) repaired(files []string) []string {
	g.t.Helper()
	dir := g.folder("repaired")
	for i, f := range files {
		to := filepath.Join(dir, fmt.Sprintf("%d.pcapng", i))
		out, err := exec.Command(tunrec, "repair", "-q", f, "-o", to).CombinedOutput()
		if err != nil && exitCode(err) != exitFailed { // it was damaged, and what could be had is written
			g.fault("repair %s: %v: %s", filepath.Base(f), err, out)
		}
	}
	return captures(dir)
}

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
