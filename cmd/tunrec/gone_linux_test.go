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

// TestTerminalHangsUp: the terminal of a series goes away, which stops it; with nohup
// it goes on, and rotates by kill -HUP.
func TestTerminalHangsUp(t *testing.T) {
	for _, nohup := range []bool{false, true} {
		mustIsolate(t)
		master, slave := openPTY(t)
		args := []string{"tunrec", "-o", "capture.pcapng", "-b", "duration:1h", "-r", "-"}
		if nohup {
			args = append([]string{"nohup"}, args...)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = t.TempDir()
		in, packets, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, cmd.Stderr = in, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in.Close()
		slave.Close()
		s := &session{cmd: cmd, ended: make(chan struct{})}
		go func() {
			cmd.Wait()
			close(s.ended)
		}()
		t.Cleanup(s.kill)
		capture, err := os.ReadFile("../../testdata/pcaps/dns.pcap")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := packets.Write(capture); err != nil {
			t.Fatal(err)
		}
		files := func() int {
			names, _ := filepath.Glob(filepath.Join(cmd.Dir, "capture_*"))
			return len(names)
		}
		eventually(t, "a file", func() bool { return files() == 1 })
		master.Close()
		if !nohup {
			if code, err := s.wait(); code != 0 || err != nil {
				t.Fatalf("exit code %d, %v", code, err)
			}
			continue
		}
		if _, err := packets.Write(capture[24:]); err != nil { // behind the header of the file
			t.Fatal(err)
		}
		if err := s.signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code, err := s.wait(); code != 0 || err != nil {
			t.Fatalf("exit code %d, %v", code, err)
		}
		names, _ := filepath.Glob(filepath.Join(cmd.Dir, "capture_*"))
		if len(names) != 1 {
			t.Errorf("%v: the hang-up has ended a file", names)
		}
	}
}
