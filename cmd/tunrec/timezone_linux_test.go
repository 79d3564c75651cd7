package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTimeZoneIsNoFile: a TZ that names a FIFO, a device or a folder holds nothing up.
func TestTimeZoneIsNoFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{fifo, ":" + fifo, "../../.." + fifo, "/dev/zero", "/dev/tty", "/usr"} {
		cmd := exec.Command("tunrec", "info", "../../testdata/pcaps/ipv4.pcap")
		cmd.Env = append(cmd.Environ(), "TZ="+zone)
		stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		out, err := cmd.CombinedOutput()
		stop.Stop()
		if err != nil || !strings.Contains(string(out), "is no time zone: times are in UTC") || !strings.Contains(string(out), "Z\n") {
			t.Errorf("TZ=%s: %v: %s", zone, err, out)
		}
	}
	for _, zone := range []string{"", "UTC", "Europe/Berlin", ":Asia/Tokyo", "/usr/share/zoneinfo/UTC", "no/such"} {
		cmd := exec.Command("tunrec", "info", "../../testdata/pcaps/ipv4.pcap")
		cmd.Env = append(cmd.Environ(), "TZ="+zone)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "TZ=") {
			t.Errorf("TZ=%s: %v: %s", zone, err, out)
		}
	}
}
