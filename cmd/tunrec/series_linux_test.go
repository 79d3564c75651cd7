package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/load"
)

// fileSetName is what Wireshark takes for a member of a file set
// (ui/file_dialog and fileset.c look for _NNNNN_YYYYMMDDHHMMSS before the suffix).
var fileSetName = regexp.MustCompile(`^capture_(\d{5})_(\d{14})\.pcapng\.zst$`)

// TestSeriesUnderLoad rotates every second under load: nothing is lost, the
// files joined hold every packet once and in order, each is a whole capture,
// and mergecap and tshark read the lot.
func TestSeriesUnderLoad(t *testing.T) {
	mustIsolate(t)
	s, file := begin(t, "-b", "duration:1", "--json")
	const packets = 600_000
	sent := sendNumbered(t, load.Config{Packets: packets, PayloadBytes: 100, Segments: 32, PacketsPerSecond: 120_000})
	c := end(t, s)
	if c.recorded != sent || c.lost() != 0 {
		t.Errorf("sent %d packets: %+v", sent, c)
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 4 {
		t.Fatalf("%d files after five seconds", len(names))
	}
	slices.Sort(names)
	next := uint64(0)
	for i, name := range names {
		m := fileSetName.FindStringSubmatch(filepath.Base(name))
		if m == nil || m[1] != strings.Repeat("0", 5-len(strconv.Itoa(i+1)))+strconv.Itoa(i+1) {
			t.Errorf("file %d is called %s", i+1, name)
		}
		if out, err := exec.Command("zstd", "-tq", name).CombinedOutput(); err != nil {
			t.Errorf("zstd -t %s: %v\n%s", name, err, out)
		}
		readCapture(t, name, func(_ gopacket.CaptureInfo, data []byte) {
			number, _, ok := load.ParsePayload(data[28:])
			if !ok || number != next {
				t.Fatalf("%s: packet %d where %d is due", name, number, next)
			}
			next++
		})
	}
	if next != packets {
		t.Errorf("the files hold %d packets of %d", next, packets)
	}
	merged := filepath.Join(t.TempDir(), "merged.pcapng")
	if out, err := exec.Command("mergecap", append([]string{"-w", merged}, names...)...).CombinedOutput(); err != nil {
		t.Fatalf("mergecap: %v\n%s", err, out)
	}
	if err := wantPackets(merged, packets); err != nil {
		t.Error(err)
	}
	if n := strings.Count(s.stdout.String(), `"event":"file_closed"`); n != len(names) {
		t.Errorf("%d file_closed events for %d files", n, len(names))
	}
}

// TestSeriesGoesOn: after a restart numbers go on, limits hold for the files of
// the recording before, and what is pinned or not ours stays.
func TestSeriesGoesOn(t *testing.T) {
	mustIsolate(t)
	dir := t.TempDir()
	record := func() {
		s, err := startSession(dir, "-o", "capture.pcapng", "-b", "packets:10", "-b", "files:3")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.kill)
		sendNumbered(t, load.Config{Packets: 40, PayloadBytes: 100})
		if c := end(t, s); c.recorded != 40 {
			t.Fatalf("%+v", c)
		}
	}
	record()
	numbers := func() (all []string) {
		names, err := filepath.Glob(filepath.Join(dir, "capture_*.zst"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			all = append(all, filepath.Base(name)[len("capture_"):][:5])
		}
		return all
	}
	if got := numbers(); !slices.Equal(got, []string{"00002", "00003", "00004"}) {
		t.Fatalf("files %v", got)
	}
	pinned, err := filepath.Glob(filepath.Join(dir, "capture_00003_*"))
	if err != nil || len(pinned) != 1 {
		t.Fatal(pinned, err)
	}
	foreign := filepath.Join(dir, "capture_00001_20010101000000.pcapng.zst")
	for _, name := range []string{pinned[0] + ".keep", foreign} {
		if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	record()
	if got := numbers(); !slices.Contains(got, "00001") || !slices.Contains(got, "00003") || !slices.Contains(got, "00008") || slices.Contains(got, "00002") {
		t.Fatalf("files %v", got)
	}
	if b, err := os.ReadFile(foreign); err != nil || string(b) != "mine" {
		t.Fatalf("a file that is not ours: %q, %v", b, err)
	}
}

// TestHookAndSignals: SIGHUP ends a file, SIGUSR1 prints counts, and the hook
// has run for every file, the last one too, when the process ends.
func TestHookAndSignals(t *testing.T) {
	mustIsolate(t)
	dir := dirOf(t, nobody)
	hook := filepath.Join(dir, "hook.sh")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nls -l /proc/self/fd | grep -c net/tun >>tun\necho \"$1\" >>done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := startSession(dir, "-o", "capture.pcapng", "-b", "filesize:10MB", "-b", "printname:names", "--hook", hook, "--flush", "10ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	for i := range 3 {
		sendNumbered(t, load.Config{Packets: 10, PayloadBytes: 100})
		eventually(t, "a file is made for the packets", func() bool {
			names, _ := filepath.Glob(filepath.Join(dir, "capture_*"))
			return len(names) == i+1
		})
		if i < 2 {
			if err := s.signal(unix.SIGHUP); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the file is complete", func() bool {
				b, _ := os.ReadFile(filepath.Join(dir, "names"))
				return strings.Count(string(b), "\n") == i+1
			})
		}
	}
	if err := s.signal(unix.SIGUSR1, unix.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "counts are printed", func() bool {
		return strings.Contains(s.stderr.String(), "tunrec: 0 packets dropped, 30 received, ")
	})
	if c := end(t, s); c.recorded != 30 {
		t.Fatalf("%+v", c)
	}
	for name, want := range map[string]int{"done": 3, "names": 3} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.Count(string(b), "\n") != want || strings.Count(string(b), "capture_0000") != want {
			t.Errorf("%s, after the end: %q, %v", name, b, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "tun")); err != nil || strings.Trim(string(b), "0\n") != "" {
		t.Errorf("the hook has inherited the device: %q, %v", b, err)
	}
}
