package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNothingIsLeft fails to start at every step: neither a device nor a file
// is left.
func TestNothingIsLeft(t *testing.T) {
	for _, test := range []struct {
		name   string
		script string // makes what the start fails on
		args   []string
		code   int
	}{
		{"flags", "", []string{"--mtu", "1"}, exitUsage},
		{"device name", "", []string{"-i", "lo"}, exitFailed},
		{"output exists", "touch a.pcapng.zst", []string{"-o", "a.pcapng"}, exitFailed},
		{"no directory", "", []string{"-o", "no/a.pcapng"}, exitFailed},
		{"full disk", "mkdir disk; mount -t tmpfs -o size=4k none disk; head -c 4096 /dev/zero >disk/full", []string{"-o", "disk/a.pcapng"}, exitFailed},
		{"route taken", "ip route add blackhole 192.0.2.0/24", []string{"--route", "192.0.2.0/24"}, exitFailed},
		{"route taken, half-way", "ip route add blackhole 192.0.2.0/24", []string{"--route", "198.51.100.0/24", "--route", "192.0.2.0/24", "--force-config"}, exitFailed},
		{"route twice", "", []string{"--addr", "10.9.0.1/24", "--route", "10.9.0.0/24"}, exitUsage},
		{"no IPv6", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6", []string{"--addr", "fd00::1/64"}, exitFailed},
		{"every pair taken", "ip addr add 10.200.0.1/8 dev lo", nil, exitFailed},
		{"standard output", "", []string{"-o", "-"}, exitFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustIsolate(t)
			t.Chdir(t.TempDir())
			if out, err := exec.Command("sh", "-ec", test.script).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", test.script, err, out)
			}
			t.Cleanup(func() { unix.Unmount("disk", unix.MNT_DETACH) }) // where it is one
			before := state(t)
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer full.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience) // for one that starts
			defer cancel()
			cmd := exec.CommandContext(ctx, "tunrec", test.args...)
			var stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = full, &stderr
			exit := new(exec.ExitError)
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != test.code {
				t.Errorf("%v, want exit code %d:\n%s", err, test.code, &stderr)
			}
			if after := state(t); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// state lists the devices, the routes and the files.
func state(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", "ip -o link; ip route show table all; ip -6 route show table all; ls -lAR").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
