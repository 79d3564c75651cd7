package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// lender is a copy of the command whose file lends capabilities, in a directory that
// everybody can get at, and a user's own directory beside it.
type lender struct {
	file, home string
	uid        int
}

func newLender(t *testing.T, capabilities string) lender {
	t.Helper()
	mustIsolate(t)
	top := t.TempDir()
	l := lender{filepath.Join(top, "tunrec"), filepath.Join(top, "home"), 4242}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(l.file, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, to.Close(), os.Mkdir(l.home, 0o700), os.Chown(l.home, l.uid, l.uid),
		os.Chmod(top, 0o755), os.Chmod(filepath.Dir(top), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	l.sh(t, "setcap", capabilities+"=ep", l.file)
	// As udev makes it: open to all, since the driver asks for capabilities.
	node := filepath.Join(top, "tun")
	if err := errors.Join(unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))), os.Chmod(node, 0o666),
		unix.Mount(node, "/dev/net/tun", "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	return l
}

func (lender) sh(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
}

// command is tunrec as the user runs it, without any right but those of the file.
func (l lender) command(args ...string) *exec.Cmd {
	cmd := exec.Command(l.file, args...)
	cmd.Dir = l.home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.home, "GORACE=atexit_sleep_ms=10"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(l.uid), Gid: uint32(l.uid)}}
	return cmd
}

// records has the user start a recording, which must succeed, and stops it.
func (l lender) records(t *testing.T, args ...string) {
	t.Helper()
	s, err := launch(l.command(args...))
	if err == nil {
		err = s.recording()
	}
	if err != nil {
		t.Errorf("%q: %v", args, err)
		return
	}
	defer s.kill()
	if err := s.signal(unix.SIGINT); err != nil {
		t.Error(err)
	}
	if code, err := s.wait(); err != nil || code != exitOK {
		t.Errorf("%q: exit code %d, %v: %s", args, code, err, &s.stderr)
	}
}

// refused has the user run a command that must end with the code and one line of error.
func (l lender) refused(t *testing.T, want int, says string, args ...string) {
	t.Helper()
	cmd := l.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); !errors.As(err, &exit) {
		t.Errorf("%q: %v: %s", args, err, &stderr)
	} else if code := exit.ExitCode(); code != want || !strings.Contains(stderr.String(), says) || strings.Count(stderr.String(), "error:") != 1 {
		t.Errorf("%q: exit code %d, want %d, and %q in: %s", args, code, want, says, &stderr)
	}
}

// TestLentCapabilities: what the file lends makes a device that takes nothing from
// anybody, and no more.
func TestLentCapabilities(t *testing.T) {
	l := newLender(t, "cap_net_admin,cap_bpf")
	l.sh(t, "ip", "tuntap", "add", "dummy0", "mode", "tun") // a network that the machine has
	l.sh(t, "ip", "addr", "add", "172.16.0.2/24", "dev", "dummy0")
	l.sh(t, "ip", "link", "set", "dummy0", "up")
	l.sh(t, "ip", "route", "add", "default", "via", "172.16.0.1")
	l.sh(t, "ip", "route", "add", "198.51.100.0/24", "dev", "dummy0")
	l.sh(t, "ip", "tuntap", "add", "foreign0", "mode", "tun")

	const notAllowed = "with the capabilities of the program file that is not allowed"
	for _, args := range [][]string{
		{"--force-config"}, {"--netns", "x"}, {"--user", "nobody"}, {"--owner", "nobody"}, {"--keep-root"},
		{"--hook", "/bin/true", "-b", "packets:1"}, {"--table", "52", "--route", "192.0.2.0/24"}, {"--metric", "1", "--route", "192.0.2.0/24"},
		{"-i", "foreign0"}, {"-i", "dummy0"},
		{"--route", "93.184.216.34/32"}, {"--route", "172.16.0.0/24"}, {"--route", "198.51.100.7/32"}, {"--route", "0.0.0.0/0"},
		{"--addr", "93.184.216.34,93.184.216.35"}, {"--addr", "10.77.0.1/24"}, {"--addr", "172.16.0.9,172.16.0.1"},
	} {
		l.refused(t, exitUsage, notAllowed, append(args, "-o", "x.pcapng")...)
	}
	l.refused(t, exitUsage, notAllowed, "record", "-o", "x.pcapng", "--force-config")

	l.records(t, "-o", "default.pcapng")
	l.records(t, "-o", "aside.pcapng", "--route", "192.0.2.0/24", "--route", "2001:db8:7::/48")
	l.records(t, "-o", "addr.pcapng", "--addr", "203.0.113.1/24", "--route", "2001:db8::/32")
	for _, name := range []string{"default", "aside", "addr"} {
		info, err := os.Stat(filepath.Join(l.home, name+".pcapng.zst"))
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != l.uid {
			t.Errorf("%s: %v, %+v", name, err, info)
		}
	}

	// Files are written with the caller's rights.
	roots := filepath.Join(filepath.Dir(l.home), "roots")
	if err := errors.Join(os.Mkdir(roots, 0o755), os.WriteFile(filepath.Join(roots, "names"), []byte("root's"), 0o600)); err != nil {
		t.Fatal(err)
	}
	l.refused(t, exitFailed, "no permission to write in "+roots, "-o", filepath.Join(roots, "x.pcapng"))
	l.refused(t, exitFailed, "permission denied", "-o", "x.pcapng", "-b", "packets:1", "-b", "printname:"+filepath.Join(roots, "names"))
	if b, err := os.ReadFile(filepath.Join(roots, "names")); err != nil || string(b) != "root's" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestLentTooMuch: with rights on files as well nothing is recorded at all.
func TestLentTooMuch(t *testing.T) {
	l := newLender(t, "cap_net_admin,cap_bpf,cap_dac_override")
	l.refused(t, exitUsage, "capabilities beside cap_net_admin and cap_bpf (0x2)", "-o", "x.pcapng")
}

// TestCapabilityHint does what the hint says, as a shell does it.
func TestCapabilityHint(t *testing.T) {
	l := newLender(t, "cap_net_admin")
	bin := t.TempDir()
	// sudo and groupadd that change nothing outside of this test.
	for name, script := range map[string]string{"sudo": "#!/bin/sh\nexec \"$@\"\n", "groupadd": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hint, _, ok := strings.Cut(capabilityHintFor(l.file), " lets ")
	if !ok {
		t.Fatal(hint)
	}
	hint = strings.Replace(hint, "root:tunrec", "root:adm", 1) // a group that there is
	cmd := exec.Command("sh", "-c", hint)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", hint, err, out)
	}
	if err := l.command("-o", "x.pcapng").Run(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a user who is not in the group runs it: %v", err)
	}
	cmd = l.command("-o", "x.pcapng", "-a", "duration:1ms")
	cmd.SysProcAttr.Credential.Groups = []uint32{4} // adm
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("a user who is in the group cannot record: %v: %s", err, out)
	}
}
