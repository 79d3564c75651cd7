package torture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/load"
)

// TestHands has somebody else change the files while they are recorded, or plant some
// among them.
func TestHands(t *testing.T) {
	for _, series := range []bool{true, false} {
		form := "-one"
		if series {
			form = "-series"
		}
		matrix(t, "removed"+form, 1, 10, func(g *rig) { g.meddled(series, os.Remove) })
		matrix(t, "truncated"+form, 1, 10, func(g *rig) { g.meddled(series, func(f string) error { return os.Truncate(f, 100) }) })
		matrix(t, "appended"+form, 1, 10, func(g *rig) { g.meddled(series, appended) })
		matrix(t, "replaced"+form, 1, 10, func(g *rig) { g.meddled(series, replaced) })
	}
	matrix(t, "planted-sparse-terabyte", 1, 10, func(g *rig) { g.planted(sparse) })
	matrix(t, "planted-number", 1, 10, func(g *rig) {
		g.planted(func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "a_99999999999_20260101000000.pcapng.zst"), []byte("x"), 0o644)
		})
	})
	matrix(t, "planted-fifo-folder-link", 1, 10, func(g *rig) { g.planted(oddities) })
	matrix(t, "minfree-that-cannot-be", 1, 5, minFree)
}

func appended(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strings.Repeat("garbage ", 100))
	return err
}

func replaced(file string) error {
	if err := os.WriteFile(file+".new", []byte("somebody else's"), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// meddled has somebody change the file that is being written. Packets that it had
// are his; the recorder says so at the next flush, ends with code 3, and a series
// goes on in a new file.
func (g *rig) meddled(series bool, how func(string) error) {
	args := []string{"-o", "a.pcapng"}
	if series {
		args = append(args, "-b", "packets:100000")
	}
	r := g.record(args...)
	first := g.send(1000, 300, 8000)
	g.allWritten()
	files := captures(g.dir)
	g.must(how(files[0]))
	g.trySend(500) // one file ends, and its device with it
	if series {
		g.within(soon, "the file is missed, and another one is opened:\n"+r.text(), func() bool { return r.ended() || len(captures(g.dir)) > 1 || len(r.events("file_opened")) > 1 })
	}
	g.trySend(1000)
	r.stop()
	s, code := r.summary(), r.cmd.ProcessState.ExitCode()
	if code != exitLost && code != exitFailed {
		g.fault("exit code %d, want %d:\n%s", code, exitLost, r.text())
	}
	if !strings.Contains(r.text(), filepath.Base(files[0])) {
		g.fault("it does not name the file:\n%s", r.text())
	}
	if s == nil {
		g.fault("no summary:\n%s", r.text())
		return
	}
	// The file that was meddled with is not what the recorder answers for.
	var own []string
	for _, f := range captures(g.dir) {
		if f != files[0] {
			own = append(own, f)
		}
	}
	a := g.account(own)
	sent := g.streams.sent()
	unexplained := int64(sent) - int64(a.ours) - int64(s.gone())
	g.tell(a, sent, s.gone(), unexplained)
	if unexplained != 0 {
		g.fault("%d unexplained: %d sent, %d of them before, %d in other files, %+v:\n%s", unexplained, sent, first, a.ours, *s, r.text())
	}
}

// planted records a series with limits in a folder in which somebody has put things
// of its names: nothing of the series' own goes for them, and they stay.
func (g *rig) planted(plant func(dir string) error) {
	dir := g.folder("series")
	g.must(plant(dir))
	before := names(dir)
	r := g.record("-o", "series/a.pcapng", "-b", "packets:1000", "-b", "total:50MB", "-b", "files:20")
	g.send(4500, 300, 8000)
	g.streams.stop()
	r.stop()
	var own []string
	for _, f := range captures(dir) {
		if !before[filepath.Base(f)] {
			own = append(own, f)
		}
	}
	a, s := g.account(own), r.summary()
	if s == nil {
		g.fault("no summary:\n%s", r.text())
		return
	}
	sent := g.streams.sent()
	g.tell(a, sent, s.gone(), int64(sent)-int64(a.ours)-int64(s.gone()))
	if a.ours != sent || r.cmd.ProcessState.ExitCode() != 0 {
		g.fault("%d of %d packets are there, exit code %d:\n%s", a.ours, sent, r.cmd.ProcessState.ExitCode(), r.text())
	}
	after := names(dir)
	for n := range before {
		if !after[n] {
			g.fault("%s was removed", n)
		}
	}
	for _, f := range own {
		if n, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), "a_"), "_"); len(n) != 5 {
			g.fault("the numbering was moved: %s", filepath.Base(f))
			break
		}
	}
}

// trySend sends to a device that may go meanwhile.
func (g *rig) trySend(packets uint64) {
	g.run(g.t.Context(), load.Config{Packets: packets, PayloadBytes: 300, PacketsPerSecond: 8000, Random: true})
}

func names(dir string) map[string]bool {
	entries, _ := os.ReadDir(dir)
	all := map[string]bool{}
	for _, e := range entries {
		all[e.Name()] = true
	}
	return all
}

func sparse(dir string) error {
	name := filepath.Join(dir, "a_00001_20260101000000.pcapng.zst")
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		return err
	}
	return os.Truncate(name, 1<<40)
}

func oddities(dir string) error {
	if err := unix.Mkfifo(filepath.Join(dir, "a_00001_20260101000000.pcapng.zst"), 0o666); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "a_00002_20260101000000.pcapng.zst"), 0o777); err != nil {
		return err
	}
	return os.Symlink("/dev/zero", filepath.Join(dir, "a_00003_20260101000000.pcapng.zst"))
}

// minFree asks for more free space than the file system has: refused at the start.
func minFree(g *rig) {
	g.tmpfs("disk", "size=4m")
	r := g.start(launch{args: []string{"-o", "disk/a.pcapng", "-b", "packets:1000", "-b", "minfree:1TB"}, early: true})
	g.within(soon, "it starts or refuses", func() bool { return r.ended() || strings.Contains(r.text(), "recording ") })
	if !r.ended() || r.cmd.ProcessState.ExitCode() == 0 || !strings.Contains(r.text(), "minfree") {
		g.fault("it is not refused by name:\n%s", r.text())
	}
}
