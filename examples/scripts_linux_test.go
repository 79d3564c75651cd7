package examples

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestFirstRecording(t *testing.T) {
	out, err := exec.Command("./first-recording.sh").CombinedOutput()
	if n := strings.Count(string(out), "ICMP"); err != nil || n != 2 {
		t.Errorf("%d pings, %v:\n%s", n, err, out)
	}
}

// recordCommand is the script, not started yet, and the capture that it will
// make in a folder of its own.
func recordCommand(t *testing.T, program ...string) (c *exec.Cmd, capture string) {
	t.Helper()
	script, err := filepath.Abs("record-command.sh")
	must(t, err)
	isolate(t)
	c = exec.Command(script, append([]string{"out.pcapng"}, program...)...)
	c.Dir = t.TempDir()
	c.Env = append(os.Environ(), "PATH=/usr/local/bin:"+os.Getenv("PATH"))
	return c, c.Dir + "/out.pcapng.zst"
}

func TestRecordCommand(t *testing.T) {
	sent := []string{"192.0.2.1", "203.0.113.5", "2001:db8::1", "10.1.0.20"}
	c, capture := recordCommand(t, append([]string{"sender"}, sent...)...)
	p := start(t, c)
	p.wait(t, 7)
	if got := p.stdout.String(); !strings.HasPrefix(got, "uid 0,") {
		t.Errorf("the program said %q", got)
	}
	checkSummary(t, p.stderr.String(), -1) // the kernel sends, too
	if got := destinations(t, capture); !slices.Equal(got, sent) {
		t.Errorf("recorded %v, not %v", got, sent)
	}
}

func TestRecordCommandRunsAsCaller(t *testing.T) {
	c, capture := recordCommand(t, "sender", "192.0.2.1")
	c.Env = append(c.Env, "SUDO_UID=65534", "SUDO_GID=65534", "SUDO_USER=nobody")
	p := start(t, c)
	p.wait(t, 7)
	if got := p.stdout.String(); got != "uid 65534, home /nonexistent\n" {
		t.Errorf("the program said %q", got)
	}
	info, err := os.Stat(capture)
	must(t, err)
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 65534 {
		t.Errorf("the capture belongs to user %d", owner)
	}
}

func TestRecordCommandExitCodes(t *testing.T) {
	for name, test := range map[string]struct {
		program []string
		code    int
		message string
	}{
		"success":    {[]string{"true"}, 0, " recorded, "},
		"failure":    {[]string{"false"}, 1, " recorded, "},
		"no program": {[]string{"/nonexistent/program"}, 127, "not found"},
		"usage":      {nil, 2, "usage: "},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := recordCommand(t, test.program...)
			p := start(t, c)
			p.wait(t, test.code)
			if got := p.stderr.String(); !strings.Contains(got, test.message) {
				t.Errorf("%q is not said:\n%s", test.message, got)
			}
		})
	}
}

func TestRecordCommandWithoutRecorder(t *testing.T) {
	c, capture := recordCommand(t, "sender", "192.0.2.1")
	must(t, os.WriteFile(capture, nil, 0o600))
	p := start(t, c)
	p.wait(t, 1)
	if p.stdout.Len() > 0 || !strings.Contains(p.stderr.String(), "exists already") {
		t.Errorf("the program ran without a recorder:\n%s%s", &p.stdout, &p.stderr)
	}
}

// TestRecordCommandInterrupted presses Ctrl-C: the program ends, and its
// recording is whole.
func TestRecordCommandInterrupted(t *testing.T) {
	c, capture := recordCommand(t, "sh", "-c", "sender 192.0.2.1; exec sleep 1000")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	must(t, err)
	var messages strings.Builder
	c.Stderr = &messages
	must(t, c.Start())
	_, err = bufio.NewReader(out).ReadString('\n') // of sender
	must(t, err)
	must(t, syscall.Kill(-c.Process.Pid, syscall.SIGINT))
	c.Wait()
	if code := c.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d\n%s", code, &messages)
	}
	checkSummary(t, messages.String(), -1)
	if got := destinations(t, capture); !slices.Equal(got, []string{"192.0.2.1"}) {
		t.Errorf("recorded %v", got)
	}
}

// TestRecordCommandKilled kills the script: the recorder ends by itself, well, also
// where it has become another user.
func TestRecordCommandKilled(t *testing.T) {
	for name, env := range map[string][]string{
		"as root": nil, "by sudo": {"SUDO_UID=65534", "SUDO_GID=65534", "SUDO_USER=nobody"},
	} {
		t.Run(name, func(t *testing.T) { recordCommandKilled(t, env) })
	}
}

func recordCommandKilled(t *testing.T, env []string) {
	c, capture := recordCommand(t, "sh", "-c", "sender 192.0.2.1; exec cat")
	c.Env = append(c.Env, env...)
	stdin, err := c.StdinPipe()
	must(t, err)
	out, err := c.StdoutPipe()
	must(t, err)
	// Everything that the script starts holds the pipe open.
	ended, held, err := os.Pipe()
	must(t, err)
	c.ExtraFiles = []*os.File{held}
	must(t, c.Start())
	must(t, held.Close())
	_, err = bufio.NewReader(out).ReadString('\n')
	must(t, err)
	must(t, c.Process.Kill())
	must(t, stdin.Close())
	c.Wait()
	_, err = io.ReadAll(ended)
	must(t, err)
	if got := destinations(t, capture); !slices.Equal(got, []string{"192.0.2.1"}) {
		t.Errorf("recorded %v", got)
	}
}

func TestGoProgram(t *testing.T) {
	isolate(t)
	capture := filepath.Join(t.TempDir(), "packets.pcapng.zst")
	c := exec.Command("/usr/local/bin/record-n", "-n", "3", capture)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	must(t, err)
	if line != "send packets to "+peer+"\n" {
		t.Errorf("it says %q first", line)
	}
	sendPackets(t, 3)
	last, err := io.ReadAll(lines)
	must(t, err)
	must(t, c.Wait())
	if got := string(last); got != capture+": 3 packets recorded, 0 lost\n" {
		t.Errorf("it says %q last", got)
	}
	if got := destinations(t, capture); !slices.Equal(got, []string{peer, peer, peer}) {
		t.Errorf("recorded %v", got)
	}
}
