package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReaderGone: whoever reads standard output goes away, and no packet comes: the
// recording ends all the same, and so does cat --follow.
func TestReaderGone(t *testing.T) {
	mustIsolate(t)
	dir := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s, err := startPiped(dir, nil, w, "-o", "-")
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	r.Close()
	if code, err := s.wait(); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v:\n%s", code, err, &s.stderr)
	}
	if want := "stopped because the reader of standard output has gone; 0 packets not delivered"; !strings.Contains(s.stderr.String(), want) {
		t.Errorf("it says\n%s", &s.stderr)
	}

	// A file that somebody writes, and that gets no packets.
	open, _ := begin(t)
	defer open.kill()
	r, w, err = os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	follow := exec.Command("tunrec", "cat", "--follow", filepath.Join(open.cmd.Dir, "capture.pcapng.zst"))
	follow.Stdout = w
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	f := &session{cmd: follow, ended: make(chan struct{})}
	go func() {
		follow.Wait()
		close(f.ended)
	}()
	defer f.kill()
	if n, err := r.Read(make([]byte, 1)); n != 1 { // it has begun
		t.Fatal(err)
	}
	r.Close()
	if code, err := f.wait(); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v", code, err)
	}
}

// TestReaderNeverCame: what waits for somebody to read a FIFO gives up.
func TestReaderNeverCame(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := openFIFO(fifo, 0); err == nil || !strings.Contains(err.Error(), "nobody has opened "+fifo) {
		t.Errorf("%v, %v", f, err)
	}
}

// terminalSeries is a series that is recorded from a pipe, with a controlling terminal.
type terminalSeries struct {
	*session
	t       *testing.T
	packets *os.File
	capture []byte
}

// startOnTerminal runs command, the leader of a session on a new terminal, which begins a
// tunrec with the arguments "$@"; it returns when that has made its first file.
func startOnTerminal(t *testing.T, command string) (s terminalSeries, terminal *os.File) {
	t.Helper()
	mustIsolate(t)
	master, slave := openPTY(t)
	cmd := exec.Command("sh", "-c", command, "sh", "tunrec", "-o", "capture.pcapng", "-b", "duration:1h", "-r", "-")
	cmd.Dir = t.TempDir()
	in, packets, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	capture, err := os.ReadFile("../../testdata/pcaps/dns.pcap")
	if err == nil {
		_, err = packets.Write(capture)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	slave.Close()
	s = terminalSeries{&session{cmd: cmd, ended: make(chan struct{})}, t, packets, capture[24:]}
	go func() {
		cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(s.kill)
	eventually(t, "a file", func() bool { return s.files() == 1 })
	return s, master
}

func (s terminalSeries) files() int {
	names, _ := filepath.Glob(filepath.Join(s.cmd.Dir, "capture_*"))
	return len(names)
}

// more sends packets: a file that has none is not ended.
func (s terminalSeries) more() {
	s.t.Helper()
	if _, err := s.packets.Write(s.capture); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the recording to end, as one that was asked to.
func (s terminalSeries) ends() {
	s.t.Helper()
	if code, err := s.wait(); code != 0 || err != nil {
		s.t.Fatalf("exit code %d, %v", code, err)
	}
}

// TestTerminalHangsUp: the terminal of a series goes away, which stops it.
func TestTerminalHangsUp(t *testing.T) {
	s, terminal := startOnTerminal(t, `exec "$@"`)
	terminal.Close()
	s.ends()
}

// TestTerminalHangsUpWithoutSignal: a job in the background gets none. Its shell ignores
// the signal, and waits for it.
func TestTerminalHangsUpWithoutSignal(t *testing.T) {
	s, terminal := startOnTerminal(t, `exec 3<&0; set -m; "$@" <&3 & set +m; trap : HUP; until wait $!; do :; done`)
	terminal.Close()
	s.ends()
}

// TestHangUpSignalRotates: with a terminal that is there, kill -HUP begins a file.
func TestHangUpSignalRotates(t *testing.T) {
	s, _ := startOnTerminal(t, `exec "$@"`)
	s.more()
	if err := s.signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a second file", func() bool { s.more(); return s.files() == 2 })
	if err := s.signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ends()
}

// TestNohup: a series that nohup(1) has started does not care for the end of its
// terminal, and rotates by kill -HUP before and after.
func TestNohup(t *testing.T) {
	s, terminal := startOnTerminal(t, `exec nohup "$@"`)
	terminal.Close()
	s.more()
	files := s.files()
	eventually(t, "a file by kill -HUP", func() bool {
		if err := s.signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.more()
		return s.files() > files
	})
	if err := s.signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ends()
}
