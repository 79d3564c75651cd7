package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/internal/load"
)

// openPTY returns the two ends of a new pseudoterminal (pty(7)).
func openPTY(t testing.TB) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// fill writes to what f is an end of until it takes no more. The description that
// others share with f stays blocking.
func fill(t testing.TB, f *os.File) {
	t.Helper()
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, n := range []int{4096, 1} {
		for err = nil; err == nil; {
			_, err = unix.Write(fd, []byte(strings.Repeat("x", n)))
		}
		if !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
	}
}

// until reads from f until what has come matches.
func until(t testing.TB, f *os.File, pattern string) {
	t.Helper()
	var got strings.Builder
	b := make([]byte, 4096)
	for want := regexp.MustCompile("(?s)" + pattern); !want.MatchString(got.String()); {
		n, err := f.Read(b)
		if err != nil {
			t.Fatalf("%v, before %q, behind %q", err, pattern, &got)
		}
		got.Write(b[:n])
	}
}

// TestNobodyReads: whoever should read messages stops doing so. A series goes on, ten
// files of it are written and ended, signals are obeyed, and it ends as always.
func TestNobodyReads(t *testing.T) {
	pipe := func(t testing.TB) (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	for _, test := range []struct {
		name   string
		ends   func(testing.TB) (ours, theirs *os.File)
		stdout bool // it is that, not standard error
		says   string
		args   []string
		stop   func(testing.TB, *os.File, *os.File)
	}{
		{name: "frozen terminal", ends: openPTY, says: "stop with Ctrl-C",
			stop: func(t testing.TB, _, theirs *os.File) { fill(t, theirs) }},
		{name: "Ctrl-S", ends: openPTY, says: "stop with Ctrl-C",
			stop: func(t testing.TB, ours, _ *os.File) {
				if _, err := ours.WriteString("\x13"); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "stderr", ends: pipe, says: "recording ", args: []string{"-v", "--hook", "echo done"},
			stop: func(t testing.TB, _, theirs *os.File) { fill(t, theirs) }},
		{name: "json", ends: pipe, stdout: true, says: `"started"`, args: []string{"--json"},
			stop: func(t testing.TB, _, theirs *os.File) { fill(t, theirs) }},
		{name: "printname", ends: pipe, says: "nobody reads names yet.*recording ", args: []string{"-b", "printname:names"},
			stop: func(testing.TB, *os.File, *os.File) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustIsolate(t)
			dir := t.TempDir()
			if err := unix.Mkfifo(filepath.Join(dir, "names"), 0o600); err != nil {
				t.Fatal(err)
			}
			ours, theirs := test.ends(t)
			cmd := exec.Command("tunrec", append([]string{"-o", "capture.pcapng", "-b", "packets:100"}, test.args...)...)
			cmd.Dir, cmd.Stdout, cmd.Stderr = dir, io.Discard, theirs
			if test.stdout {
				cmd.Stdout, cmd.Stderr = theirs, nil
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			s := &session{cmd: cmd, ended: make(chan struct{})}
			go func() {
				cmd.Wait()
				close(s.ended)
			}()
			t.Cleanup(s.kill)
			until(t, ours, test.says)
			test.stop(t, ours, theirs)

			sent := sendNumbered(t, load.Config{Packets: 1000, PayloadBytes: 100})
			if err := s.signal(unix.SIGUSR1, unix.SIGUSR1, unix.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			files := func() []string {
				names, _ := filepath.Glob(filepath.Join(dir, "capture_*"))
				return names
			}
			eventually(t, "ten files", func() bool { return len(files()) == 10 })
			if err := s.signal(unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code, err := s.wait(); code != 0 || err != nil {
				t.Fatalf("exit code %d, %v", code, err)
			}
			total := 0
			for _, name := range files() {
				c := readInfo(t, name)
				if c.Damage != nil {
					t.Error(c.Damage)
				}
				total += int(c.Packets)
			}
			if total != int(sent) {
				t.Errorf("%d packets in files of %d", total, sent)
			}
		})
	}
}

// TestMissedMessagesAreTold: once a terminal goes on, it says how many messages it has
// missed, and so do the closing lines.
func TestMissedMessagesAreTold(t *testing.T) {
	mustIsolate(t)
	ours, theirs := openPTY(t)
	cmd := exec.Command("tunrec", "-v", "-o", "capture.pcapng", "-b", "packets:1")
	cmd.Dir, cmd.Stderr = t.TempDir(), theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &session{cmd: cmd, ended: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(s.kill)
	until(t, ours, "stop with Ctrl-C")
	if _, err := ours.WriteString("\x13"); err != nil {
		t.Fatal(err)
	}
	sent := sendNumbered(t, load.Config{Packets: 2000}) // each makes a file, and three messages
	eventually(t, "all files", func() bool {
		names, _ := filepath.Glob(filepath.Join(cmd.Dir, "capture_*"))
		return len(names) == int(sent)
	})
	if _, err := ours.WriteString("\x11"); err != nil { // Ctrl-Q
		t.Fatal(err)
	}
	until(t, ours, "messages were not shown: nobody read standard error")
	if err := s.signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	until(t, ours, "messages were not shown\r\n")
	if code, err := s.wait(); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v", code, err)
	}
}

// readInfo reads what a capture file says of itself.
func readInfo(t testing.TB, name string) capfile.Info {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := capfile.NewReader(f, stat.Size())
	if err != nil {
		t.Fatal(err)
	}
	return r.Info()
}
