package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/load"
)

// eventually looks again and again until done says that it is so.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// readable counts the packets that Wireshark shows of a file that is still
// written or was cut off, and those that come through zstd -dc.
func readable(t testing.TB, file string) (direct, unpacked int) {
	t.Helper()
	// Of a copy: who reads a file that grows faster than that never ends.
	b, err := os.ReadFile(file)
	still := filepath.Join(t.TempDir(), filepath.Base(file))
	if err == nil {
		err = os.WriteFile(still, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{`tshark -n -r "$1"`, `zstd -dcq "$1" | tshark -n -r -`} {
		// A complaint about the end is in order, so exit codes say nothing.
		out, err := exec.Command("sh", "-c", "("+command+" -T fields -e frame.number) 2>/dev/null | wc -l", "sh", still).Output()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		direct, unpacked = unpacked, n
	}
	return direct, unpacked
}

// TestFirstSignalDrains has the signal come while the device's queue is full
// of packets: tunrec stands still meanwhile.
func TestFirstSignalDrains(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			mustIsolate(t)
			s, file := begin(t)
			if err := s.signal(unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			waitStopped(t, s.cmd.Process.Pid)
			sent := sendNumbered(t, load.Config{Packets: 9_000})
			if err := s.signal(sig, unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if code, err := s.wait(); code != 0 || err != nil {
				t.Fatalf("exit code %d, %v:\n%s", code, err, &s.stderr)
			}
			c, err := parseCounts(s.stderr.String())
			if err != nil {
				t.Fatal(err)
			}
			if c.recorded != sent {
				t.Errorf("the device held %d packets, recorded %+v", sent, c)
			}
			if err := wantPackets(file, int(sent)); err != nil {
				t.Error(err)
			}
		})
	}
}

func waitStopped(t testing.TB, pid int) {
	t.Helper()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatalf("wait for tunrec to stand still: %v", err)
	}
}

// TestSecondSignal has a recording that cannot end well soon, since nobody
// takes what it writes: the second signal ends it at once.
func TestSecondSignal(t *testing.T) {
	mustIsolate(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, err := startPiped(t.TempDir(), nil, w, "-o", "-")
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	sendNumbered(t, load.Config{Packets: 1000, PayloadBytes: 1400}) // more than a pipe holds

	const pipeBytes = 64 << 10 // pipe(7)
	eventually(t, "a full pipe", func() bool {
		n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
		return err == nil && n > pipeBytes/2 // pages that packets do not fill count as full
	})
	if err := s.insist(unix.SIGINT, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	code, err := s.wait()
	if code != exitFailed || err != nil {
		t.Fatalf("exit code %d, want %d, %v:\n%s", code, exitFailed, err, &s.stderr)
	}
	if !strings.Contains(s.stderr.String(), "again: ended at once") {
		t.Errorf("tunrec does not say that it was ended:\n%s", &s.stderr)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	// The pipe holds whole packets but for the last one.
	if !bytes.HasPrefix(out, []byte{0x0a, 0x0d, 0x0d, 0x0a}) || bytes.Count(out, []byte("tun!")) < 10 {
		t.Errorf("%d bytes came through the pipe, not the beginning of the recording", len(out))
	}
}

// TestSecondSignalFile has more to compress than can be done soon: a file that
// is ended at once is readable as far as it was flushed.
func TestSecondSignalFile(t *testing.T) {
	dir := t.TempDir()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s, err := startEndless(dir, in, out, "-r", "-", "-o", "capture.pcapng",
		"--compress", "zstd:best", "--workers", "1", "--slab-size", "1MiB", "--slabs", "128")
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	file := filepath.Join(dir, "capture.pcapng.zst")
	// A chunk of 1 MiB takes 0.5 MiB at the least, since hex digits have 4 bits in 8.
	eventually(t, "the second chunk in the file", func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 3<<18
	})
	if err := s.insist(unix.SIGINT, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := s.wait(); code != exitFailed || err != nil {
		t.Fatalf("exit code %d, want %d, %v:\n%s", code, exitFailed, err, &s.stderr)
	}
	const inChunk = 1 << 20 / (1400 + 32)
	if direct, unpacked := readable(t, file); direct < inChunk || unpacked < inChunk {
		t.Errorf("a chunk of %d packets was flushed, %d are readable, %d by zstd -dc", inChunk, direct, unpacked)
	}
}

// startEndless records an endless capture from a pipe.
func startEndless(dir string, in, out *os.File, args ...string) (*session, error) {
	go func() {
		defer out.Close()
		packet, random := make([]byte, 1400), make([]byte, 1380/2)
		copy(packet, []byte{0x45, 0, 0x05, 0x78})
		source := rand.NewChaCha8([32]byte{})
		out.Write(pcapHeader())
		for {
			source.Read(random) // never fails
			hex.Encode(packet[20:], random)
			if _, err := out.Write(pcapRecord(packet)); err != nil {
				return // tunrec has ended
			}
		}
	}()
	s, err := startPiped(dir, in, nil, args...)
	in.Close() // tunrec's copy is the last one
	return s, err
}

// pcapHeader is the header of a pcap file of LINKTYPE_RAW.
func pcapHeader() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 65535)
	return binary.LittleEndian.AppendUint32(b, 101)
}

func pcapRecord(packet []byte) []byte {
	b := make([]byte, 8, 16+len(packet)) // 1970
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	return append(b, packet...)
}

// TestKilled kills a recording: what was flushed is in the file.
func TestKilled(t *testing.T) {
	mustIsolate(t)
	s, file := begin(t, "--flush", "100ms")
	sendNumbered(t, load.Config{Packets: 5_000, PayloadBytes: 500, Random: true})
	eventually(t, "5,000 packets in the file", func() bool {
		n, _ := readable(t, file)
		return n == 5_000
	})
	sendNumbered(t, load.Config{Packets: 20_000, PayloadBytes: 500, Random: true})
	s.kill()
	if direct, unpacked := readable(t, file); direct < 5_000 || unpacked < 5_000 {
		t.Errorf("5,000 packets were readable, and %d after the end, %d by zstd -dc", direct, unpacked)
	}
	if out, err := exec.Command("ip", "-o", "link").Output(); err != nil || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("a device is left (%v):\n%s", err, out)
	}
}

// TestLivePipe records from a pipe that falls silent: what came is readable
// soon, and the first signal ends the recording.
func TestLivePipe(t *testing.T) {
	dir := t.TempDir()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	capture, err := os.ReadFile("../../testdata/pcaps/dns.pcap")
	if err == nil {
		_, err = out.Write(capture)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := startPiped(dir, in, nil, "-r", "-", "-o", "capture.pcapng", "--flush", "100ms")
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	file := filepath.Join(dir, "capture.pcapng.zst")
	eventually(t, "16 packets in the file", func() bool {
		n, _ := readable(t, file)
		return n == 16
	})
	if err := s.signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code, err := s.wait(); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v:\n%s", code, err, &s.stderr)
	}
	if err := wantPackets(file, 16); err != nil {
		t.Error(err)
	}
}

// TestDiskFull fills the disk in the middle of a recording: it ends by itself,
// and every packet is in the file or counted.
func TestDiskFull(t *testing.T) {
	mustIsolate(t)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	s, err := startSession(dir, "-o", "capture.pcapng", "--flush", "100ms")
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	// Random bytes, until it has ended: then nobody takes them any more.
	conn, err := net.Dial("udp4", "10.1.0.20:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	payload := make([]byte, 1400)
	for n := uint64(0); ; n++ {
		select {
		case <-s.ended:
		case <-time.After(patience):
			t.Fatal("the disk is full and tunrec goes on")
		default:
			for i := 0; i < len(payload); i += 8 {
				n = n*6364136223846793005 + 1442695040888963407
				binary.LittleEndian.PutUint64(payload[i:], n)
			}
			conn.Write(payload) // fails when the device is gone
			continue
		}
		break
	}
	if code := s.cmd.ProcessState.ExitCode(); code != exitLost {
		t.Errorf("exit code %d, want %d", code, exitLost)
	}
	stderr := s.stderr.String()
	c, err := parseCounts(stderr)
	if err != nil {
		t.Fatal(err)
	}
	const said = `tunrec: error: write capture.pcapng.zst: no space left on device
tunrec: hint: what was written is readable; make room, or write elsewhere with -o
`
	if !strings.HasSuffix(stderr, said) {
		t.Errorf("stderr is\n%swant at its end\n%s", stderr, said)
	}
	file := filepath.Join(dir, "capture.pcapng.zst")
	if c.recorded == 0 || c.byWrite == 0 {
		t.Errorf("recorded before and lost after the disk was full: %+v", c)
	}
	if direct, unpacked := readable(t, file); direct != int(c.recorded) || unpacked != direct {
		t.Errorf("%d packets recorded, %d readable, %d by zstd -dc", c.recorded, direct, unpacked)
	}
}
