package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestInheritedDescriptors: what was left open by mistake is closed, also for a hook;
// what the arguments name, and a lock, stay.
func TestInheritedDescriptors(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	secret, lock := open("secret"), open("lock")
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	pcap, err := os.Open("../../testdata/pcaps/ipv4.pcap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pcap.Close() })
	input, feed, err := os.Pipe() // standard input: it never ends, so there is time to look
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { input.Close(); feed.Close() })

	start := func(args ...string) *exec.Cmd {
		cmd := exec.Command("tunrec", args...)
		cmd.Dir, cmd.Stdin, cmd.ExtraFiles = dir, input, []*os.File{secret, lock, pcap} // 3, 4, 5
		return cmd
	}
	if out, err := start("record", "-r", "/dev/fd/5", "-o", "named.pcapng").CombinedOutput(); err != nil {
		t.Errorf("-r /dev/fd/5: %v: %s", err, out)
	}
	cmd := start("record", "-r", "-", "-o", "x.pcapng")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var links []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		links = nil
		names, _ := filepath.Glob("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/fd/*")
		for _, n := range names {
			to, _ := os.Readlink(n)
			links = append(links, to)
		}
		if all := strings.Join(links, "\n"); len(links) > 0 && !strings.Contains(all, "secret") && !strings.Contains(all, "ipv4.pcap") && strings.Contains(all, "/lock") {
			return
		}
	}
	t.Errorf("open are %q", links)
}
