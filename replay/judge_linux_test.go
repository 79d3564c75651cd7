package replay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a tool that has to be there, and returns its standard output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is needed as a judge: %v", name, err)
	}
	cmd := exec.Command(name, args...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, errors.String())
	}
	return out.String()
}

// tsharkSees returns a line for each IP packet in a file: its time, IPv4
// length and identification, IPv6 payload length.
func tsharkSees(t *testing.T, path string) string {
	t.Helper()
	return run(t, "tshark", "-n", "-r", path, "-Y", "ip or ipv6", "-T", "fields",
		"-e", "frame.time_epoch", "-e", "ip.len", "-e", "ip.id", "-e", "ipv6.plen", "-E", "occurrence=f")
}

// weSee returns the same lines by way of a Reader.
func weSee(t *testing.T, path string) string {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	packets, err := readAll(r)
	var lines strings.Builder
	for _, p := range packets {
		fmt.Fprintf(&lines, "%d.%09d\t", p.unixNano/1e9, p.unixNano%1e9)
		if p.data[0]>>4 == 4 {
			fmt.Fprintf(&lines, "%d\t0x%04x\t\n", binary.BigEndian.Uint16([]byte(p.data[2:])), binary.BigEndian.Uint16([]byte(p.data[4:])))
		} else {
			fmt.Fprintf(&lines, "\t\t%d\n", binary.BigEndian.Uint16([]byte(p.data[4:])))
		}
	}
	if err.Error() != "EOF" {
		t.Fatalf("%s, after %d packets: %v", path, len(packets), err)
	}
	return lines.String()
}

// mixedEthernet is a capture with IPv4, IPv6, tags, padding and ARP.
func mixedEthernet() []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := &builder{endian: binary.BigEndian}
	w.pcapHeader(0xa1b23c4d, linkEthernet)
	for i := range uint32(300) {
		v4 := ipv4(28 + rnd.IntN(1400))
		binary.BigEndian.PutUint16(v4[4:], uint16(i))
		frame := [][]byte{
			ethernet(0x0800, nil, v4),
			ethernet(0x0800, []uint16{0x8100}, v4),
			ethernet(0x86dd, []uint16{0x88a8, 0x8100}, ipv6(48+rnd.IntN(1400))),
			ethernet(0x0800, nil, concat(ipv4(30), make([]byte, 16))),
			ethernet(0x0806, nil, make([]byte, 46)),
		}[rnd.IntN(5)]
		w.pcapRecord(1_700_000_000+i, rnd.Uint32N(1e9), frame, len(frame))
	}
	return w.b
}

// TestJudgedByTshark rewrites a capture into other formats with Wireshark's
// tools and sees in each what tshark sees.
func TestJudgedByTshark(t *testing.T) {
	dir := t.TempDir()
	original := filepath.Join(dir, "original")
	if err := os.WriteFile(original, mixedEthernet(), 0o600); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(tsharkSees(t, original), "\n"); lines < 200 {
		t.Fatalf("tshark sees %d packets in the capture that this is about", lines)
	}
	for _, format := range []string{"pcap", "nsecpcap", "pcapng"} {
		for _, snaplen := range []string{"65535", "60"} {
			path := filepath.Join(dir, format+snaplen)
			run(t, "editcap", "-F", format, "-s", snaplen, original, path)
			want := tsharkSees(t, path)
			run(t, "gzip", "-k", path)
			run(t, "zstd", "-q", path)
			for _, path := range []string{path, path + ".gz", path + ".zst"} {
				if got := weSee(t, path); got != want {
					t.Errorf("%s\n got\n%s\nwant\n%s", path, got, want)
				}
			}
		}
	}

	merged := filepath.Join(dir, "merged")
	raw := filepath.Join(dir, "raw")
	if err := os.WriteFile(raw, bulk("pcap", 10), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "mergecap", "-F", "pcapng", "-w", merged, original, raw)
	if got, want := weSee(t, merged), tsharkSees(t, merged); got != want {
		t.Errorf("two interfaces of two link types\n got\n%s\nwant\n%s", got, want)
	}

	modified := filepath.Join(dir, "modified")
	run(t, "editcap", "-F", "modpcap", original, modified)
	if _, err := Open(modified); err == nil || !strings.Contains(err.Error(), "modified kind") {
		t.Errorf("got %v, want a refusal of the modified kind", err)
	}
}

// TestLinuxCaptures reads what tcpdump captures from real traffic, with the
// link types that Linux has.
func TestLinuxCaptures(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root to make a network namespace")
	}
	ns := fmt.Sprintf("tunrec-replay-%d", os.Getpid())
	run(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { run(t, "ip", "netns", "del", ns) })
	run(t, "ip", "-n", ns, "link", "set", "lo", "up")
	for _, tt := range []struct{ device, linkType string }{
		{"lo", "EN10MB"},
		{"any", "LINUX_SLL"},
		{"any", "LINUX_SLL2"},
	} {
		t.Run(tt.linkType, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "capture")
			const pings, frames = 4, 8 // each ping and its answer
			// -c ends tcpdump, timeout only a run that has gone wrong.
			tcpdump := exec.Command("timeout", "-s", "KILL", "30", "ip", "netns", "exec", ns, "tcpdump",
				"-Z", "root", "-i", tt.device, "-y", tt.linkType, "-c", fmt.Sprint(frames), "-w", path, "icmp or icmp6")
			messages, err := tcpdump.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := tcpdump.Start(); err != nil {
				t.Fatal(err)
			}
			said := bufio.NewScanner(messages)
			for listening := false; !listening; listening = strings.Contains(said.Text(), "listening on") {
				if !said.Scan() {
					t.Fatalf("tcpdump did not start: %v", tcpdump.Wait())
				}
			}
			for _, address := range []string{"127.0.0.1", "::1"} {
				run(t, "ip", "netns", "exec", ns, "ping", "-n", "-q", "-i", "0.01", "-c", fmt.Sprint(pings/2), address)
			}
			for said.Scan() {
			}
			if err := tcpdump.Wait(); err != nil {
				t.Fatal(err)
			}
			got, want := weSee(t, path), tsharkSees(t, path)
			if got != want || strings.Count(got, "\n") != frames {
				t.Errorf("got\n%s\nwant %d packets\n%s", got, frames, want)
			}
		})
	}
}
