package netconf

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReserveBelieves root and one's own user only: others can bind any name.
func TestReserveBelieves(t *testing.T) {
	for _, tt := range []struct {
		holder, asker int
		free          bool
	}{
		{holder: 0, asker: 0}, {holder: 0, asker: 4242}, {holder: 4242, asker: 4242},
		{holder: 4242, asker: 0, free: true}, {holder: 65534, asker: 4242, free: true},
	} {
		a := pair4(7)
		inOwnNetwork(t, func() {
			holdAs(t, tt.holder, "@tunrec/"+a.String())
			first, again := reserveAs(t, tt.asker, a)
			if first != tt.free {
				t.Errorf("%d holds the pair, %d asks: free %t, want %t", tt.holder, tt.asker, first, tt.free)
			}
			if first && again {
				t.Errorf("%d holds the pair, %d asks twice, and gets it twice", tt.holder, tt.asker)
			}
		})
	}
}

// TestReserveAllHeld: somebody who binds the names of all pairs takes none.
func TestReserveAllHeld(t *testing.T) {
	inOwnNetwork(t, func() {
		var names []string
		for n := 1; n <= 254; n++ {
			names = append(names, "@tunrec/"+pair4(byte(n)).String())
		}
		holdAs(t, 4242, names...)
		for n := 1; n <= 3; n++ {
			a, _, err := ReservePair()
			if want := pair4(byte(n)); err != nil || a != want {
				t.Errorf("pair %v, %v; want %v", a, err, want)
			}
		}
	})
}

// inOwnNetwork runs f in a network namespace that ends with it.
func inOwnNetwork(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// holdAs has a process of another user bind names until the test ends.
func holdAs(t *testing.T, uid int, names ...string) {
	t.Helper()
	cmd, lines := childAs(t, uid, "TUNREC_HOLD="+strings.Join(names, "\n"))
	if text := lines(); text != "held" {
		t.Errorf("the holder says %q", text)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// reserveAs has a process of another user reserve a pair twice.
func reserveAs(t *testing.T, uid int, a Addr) (first, again bool) {
	t.Helper()
	cmd, lines := childAs(t, uid, "TUNREC_RESERVE="+a.String())
	text := lines()
	cmd.Process.Kill()
	cmd.Wait()
	words := strings.Fields(text)
	if len(words) != 2 {
		t.Errorf("the child says %q", text)
		return false, false
	}
	first, err := strconv.ParseBool(words[0])
	again, errAgain := strconv.ParseBool(words[1])
	if err := errors.Join(err, errAgain); err != nil {
		t.Error(err)
	}
	return first, again
}

// childAs starts this test as another user, who does what environment says, and prints a line.
func childAs(t *testing.T, uid int, environment string) (cmd *exec.Cmd, line func() string) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe", "-test.run", "^TestReserveChild$")
	cmd.Env = append(os.Environ(), environment)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	cmd.Dir = "/"
	stdin, hold, err := os.Pipe() // what the child reads ends with the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); hold.Close() })
	cmd.Stdin = stdin
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return cmd, func() string {
		defer r.Close()
		b := make([]byte, 100)
		n, err := r.Read(b)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(b[:n]))
	}
}

// TestReserveChild is what childAs starts.
func TestReserveChild(t *testing.T) {
	names, a := os.Getenv("TUNREC_HOLD"), os.Getenv("TUNREC_RESERVE")
	switch {
	case names != "":
		for name := range strings.SplitSeq(names, "\n") {
			if err := bindAbstract(name); err != nil {
				t.Fatal(err)
			}
		}
		os.Stdout.WriteString("held\n")
	case a != "":
		addr, err := ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(strconv.FormatBool(reserve(addr)) + " " + strconv.FormatBool(reserve(addr)) + "\n")
	default:
		return // not asked for
	}
	os.Stdin.Read(make([]byte, 1)) // until it is killed
}
