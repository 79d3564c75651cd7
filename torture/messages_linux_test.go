package torture

import (
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// TestMessages has nobody read what the recorder says, in every form: packets are
// written all the same, and the first SIGTERM ends it.
func TestMessages(t *testing.T) {
	matrix(t, "ctrl-S", 1, 10, func(g *rig) { g.terminalStops(true) })
	matrix(t, "ctrl-S-ctrl-Q", 1, 10, func(g *rig) { g.terminalStops(false) })
	matrix(t, "frozen-terminal", 1, 10, frozenTerminal)
	matrix(t, "frozen-terminal-signal-twice", 1, 10, frozenTwice)
	matrix(t, "json-unread", 1, 10, func(g *rig) { g.unread(true, false, "--json") })
	matrix(t, "stderr-unread", 1, 10, func(g *rig) { g.unread(false, true, "-v") })
	matrix(t, "both-unread", 1, 10, func(g *rig) { g.unread(true, true, "--json", "-v") })
	matrix(t, "printname-fifo-without-reader", 1, 10, func(g *rig) { g.printName(false) })
	matrix(t, "printname-fifo-unread", 1, 10, func(g *rig) { g.printName(true) })
	matrix(t, "terminal-hangs-up-one", 1, 10, func(g *rig) { g.hangUp(false) })
	matrix(t, "terminal-hangs-up-series", 1, 10, func(g *rig) { g.hangUp(false, "-b", "packets:1000") })
	matrix(t, "terminal-hangs-up-nohup", 1, 10, func(g *rig) { g.hangUp(true, "-b", "packets:1000") })
	matrix(t, "reader-of-stdout-ends", 1, 10, readerEnds)
	matrix(t, "reader-of-extcap-is-killed", 1, 10, extcapKilled)
}

// soon bounds what is demanded "within a second", with room for a machine that has
// other things to do.
const soon = 10 * time.Second

// terminal is a recorder of a series on a terminal of its own. JSON goes to a file.
func (g *rig) terminal(args ...string) (r *recorder, master, tty *os.File) {
	g.t.Helper()
	master, tty, err := pty.Open()
	g.must(err)
	g.later(func() { master.Close(); tty.Close() })
	r = g.start(launch{
		stdin: tty, stderr: tty, terminal: true, stdout: nil,
		args: append([]string{"-v", "-o", "a.pcapng"}, args...),
	})
	return r, master, tty
}

// pester asks for counts again and again, which all want to be said.
func (r *recorder) pester() {
	for range 300 {
		r.signal(unix.SIGUSR1)
		time.Sleep(time.Millisecond)
	}
}

// ends stops a recorder with one signal.
func (g *rig) ends(r *recorder) {
	g.t.Helper()
	g.streams.stop()
	r.signal(unix.SIGTERM)
	r.waitFor(soon, "after one SIGTERM, and its disk is idle")
}

// terminalStops presses Ctrl-S, and Ctrl-Q before the end or not.
func (g *rig) terminalStops(forGood bool) {
	r, master, _ := g.terminal("-b", "packets:1000")
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(io.Discard, master) }) // ends with the terminal
	g.send(1000, 300, 8000)
	g.writeTo(master, "\x13")
	r.pester()
	g.send(8000, 300, 8000)
	g.allWritten()
	if !forGood {
		g.writeTo(master, "\x11")
	}
	g.ends(r)
	g.judge(r, demand{})
}

func (g *rig) writeTo(f *os.File, text string) {
	_, err := f.WriteString(text)
	g.must(err)
}

// fill writes to a terminal or pipe until it takes no more.
func (g *rig) fill(path string) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	g.must(err)
	defer unix.Close(fd)
	for _, n := range []int{512, 1} {
		for err = nil; err == nil; {
			_, err = unix.Write(fd, make([]byte, n))
		}
		if err != unix.EAGAIN {
			g.must(err)
		}
	}
}

// frozenTerminal is an ssh session that does not read any more.
func frozenTerminal(g *rig) {
	r, _, tty := g.terminal("-b", "packets:1000")
	g.fill(tty.Name())
	r.pester()
	g.send(8000, 300, 8000)
	g.allWritten()
	g.ends(r)
	g.judge(r, demand{})
}

// frozenTwice ends such a recorder at once.
func frozenTwice(g *rig) {
	r, _, tty := g.terminal("-b", "packets:1000")
	g.fill(tty.Name())
	r.pester()
	g.send(3000, 300, 8000)
	now := time.Now()
	for !r.ended() && time.Since(now) < soon {
		r.signal(unix.SIGTERM)
		time.Sleep(150 * time.Millisecond)
	}
	r.waitFor(time.Millisecond, "after many signals")
	g.judgeKilled(captures(g.dir), now)
}

// unread gives the recorder pipes that nobody reads.
func (g *rig) unread(stdout, stderr bool, args ...string) {
	l := launch{args: append([]string{"-o", "a.pcapng", "-b", "packets:100"}, args...)}
	narrow := func() *os.File {
		in, out, err := os.Pipe()
		g.must(err)
		g.later(func() { in.Close(); out.Close() })
		_, err = unix.FcntlInt(out.Fd(), unix.F_SETPIPE_SZ, 4096)
		g.must(err)
		return out
	}
	if stdout {
		l.stdout = narrow()
	}
	if stderr {
		l.stderr = narrow()
	}
	r := g.start(l)
	r.pester()
	g.send(8000, 300, 8000)
	g.allWritten()
	g.ends(r)
	if stdout && stderr { // no word came out: what is in the files is all there is
		a := g.account(captures(g.dir))
		g.tell(a, g.streams.sent(), a.dropped, int64(g.streams.sent())-int64(a.ours)-int64(a.dropped))
		g.verify(a.files)
		return
	}
	g.judge(r, demand{})
}

// printName names complete files to a FIFO that has no reader, or one that never reads.
func (g *rig) printName(reader bool) {
	fifo := g.path("names")
	g.must(unix.Mkfifo(fifo, 0o666))
	g.must(os.Chmod(fifo, 0o666))
	if reader {
		f, err := os.OpenFile(fifo, os.O_RDWR, 0)
		g.must(err)
		g.later(func() { f.Close() })
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, 4096)
		g.must(err)
		g.fill(fifo)
	}
	r := g.record("-o", "a.pcapng", "-b", "packets:100", "-b", "printname:names")
	r.pester()
	g.send(6000, 300, 8000)
	g.allWritten()
	g.ends(r)
	g.judge(r, demand{})
}

// hangUp takes the terminal away: the recorder ends by itself, and is whole; one that
// was started by nohup goes on.
func (g *rig) hangUp(nohup bool, args ...string) {
	master, tty, err := pty.Open()
	g.must(err)
	g.later(func() { tty.Close() })
	l := launch{stdin: tty, stderr: tty, terminal: true, args: append([]string{"-o", "a.pcapng"}, args...)}
	if nohup {
		l.wrap = []string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}
	}
	r := g.start(l)
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(io.Discard, master) })
	g.send(2500, 300, 8000)
	master.Close()
	tty.Close()
	reading.Wait()
	if nohup {
		g.send(2500, 300, 8000)
		g.allWritten()
		if r.ended() {
			g.fault("it ended with its terminal, although it was to stay: %v", r.cmd.ProcessState)
		}
		g.ends(r)
	} else {
		r.waitFor(soon, "and its terminal has gone")
	}
	g.judge(r, demand{})
}

// readerEnds closes the pipe of -o -: without another packet, the recorder ends.
func readerEnds(g *rig) {
	in, out, err := os.Pipe()
	g.must(err)
	r := g.start(launch{args: []string{"-o", "-"}, stdout: out})
	out.Close()
	g.send(100, 300, 8000)
	b := make([]byte, 1<<20)
	for n := 0; n < 100*300; {
		k, err := in.Read(b)
		g.must(err)
		n += k
	}
	in.Close()
	r.waitFor(soon, "and nobody reads its standard output any more")
	if strings.Contains(r.text(), "after the limit") {
		g.fault("its last words are not true:\n%s", r.text())
	}
	if left := g.leftDevices(); len(left) > 0 {
		g.fault("devices are left: %q", left)
	}
}

// extcapKilled kills who reads the FIFO of extcap, which tells nobody: the device
// goes, without another packet.
func extcapKilled(g *rig) {
	fifo := g.path("fifo")
	g.must(unix.Mkfifo(fifo, 0o666))
	in, err := os.OpenFile(fifo, os.O_RDWR, 0)
	g.must(err)
	r := g.start(launch{bare: true, early: true, args: []string{
		"--capture", "--extcap-interface", "tunrec", "--fifo", fifo, "--addr", local + "," + peer,
	}})
	g.eventually("a device: "+r.text(), func() bool { return r.ended() || len(g.leftDevices()) > 0 })
	if r.ended() {
		g.fault("it ended with %v:\n%s", r.cmd.ProcessState, r.text())
	}
	b := make([]byte, 100)
	_, err = in.Read(b) // it has its end open
	g.must(err)
	in.Close()
	r.waitFor(soon, "and nobody reads its FIFO any more")
	if left := g.leftDevices(); len(left) > 0 {
		g.fault("devices are left: %q", left)
	}
}
