package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
)

// TestSliceRanges slices 200 random time ranges out of a series: each holds the
// lines that tshark lists of the capture that the series was made of, for these
// times. tshark -Y shows the same ones; it is asked for a few ranges only, since
// it takes far longer to start than a slice.
func TestSliceRanges(t *testing.T) {
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	source := filepath.Join(dir, "source.pcap")
	stamps := writeTimed(t, r, source, 3000)
	command(t, dir, "tunrec", "-q", "-r", source, "-o", "x.pcapng", "--slab-size", "64KiB", "-b", "packets:850")

	list := func(display string) []string {
		lines := command(t, dir, "tshark", "-n", "-r", source, "-T", "fields", "-e", "frame.time_epoch", "-e", "ip.id", "-Y", display)
		return strings.FieldsFunc(lines, func(r rune) bool { return r == '\n' })
	}
	all := list("ip")
	if len(all) != len(stamps) {
		t.Fatalf("tshark lists %d packets of %d", len(all), len(stamps))
	}
	span := stamps[len(stamps)-1] - stamps[0]
	ranges := 200
	if testing.Short() {
		ranges = 20
	}
	for i := range ranges {
		// One of two ends is a packet's time.
		from := stamps[r.IntN(len(stamps))]
		to := from + r.Int64N(span)/int64(1+r.IntN(1000)) + 1
		if r.IntN(2) == 0 {
			to = stamps[1+r.IntN(len(stamps)-1)]
			from = to - r.Int64N(span)/int64(1+r.IntN(1000)) - 1
		}
		if to <= stamps[0] { // the first packets have the same time: none is before
			to = stamps[0] + 1
		}
		t.Run(epoch(from)+epoch(to), func(t *testing.T) {
			t.Parallel()
			out := fmt.Sprintf("%d.pcapng", i)
			command(t, dir, "tunrec", "slice", "-q", "--from", epoch(from), "--to", epoch(to), "x", "-o", out)
			var got []string
			readCapture(t, filepath.Join(dir, out+".zst"), func(info gopacket.CaptureInfo, data []byte) {
				at := info.Timestamp
				got = append(got, fmt.Sprintf("%d.%09d\t0x%04x", at.Unix(), at.Nanosecond(), binary.BigEndian.Uint16(data[4:])))
			})
			var want []string
			for i, at := range stamps {
				if from <= at && at < to {
					want = append(want, all[i])
				}
			}
			if i < 5 {
				shown := list(fmt.Sprintf("frame.time_epoch >= %s and frame.time_epoch < %s", epoch(from)[1:], epoch(to)[1:]))
				if !slices.Equal(shown, want) {
					t.Fatalf("tshark -Y shows\n%s\nnot\n%s", strings.Join(shown, "\n"), strings.Join(want, "\n"))
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d packets, tshark lists\n%s", len(got), strings.Join(want, "\n"))
			}
		})
	}
}

// epoch is a time as tunrec slice takes it.
func epoch(unixNano int64) string {
	return fmt.Sprintf("@%d.%09d", unixNano/1e9, unixNano%1e9)
}

// command runs a command in dir and returns what it prints.
func command(t testing.TB, dir string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, stderr.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}

// writeTimed writes a pcap of numbered packets, of which some come at the same
// time and some long after the one before. It returns their times.
func writeTimed(t testing.TB, r *rand.Rand, file string, packets int) (stamps []int64) {
	t.Helper()
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b23c4d) // nanoseconds
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint32(b, 1<<18)
	b = le.AppendUint32(b, 101) // LINKTYPE_RAW
	at := int64(1_795_363_200_000_000_000)
	for i := range packets {
		switch r.IntN(4) {
		case 0:
			at += r.Int64N(3) // often the same time
		case 1:
			at += r.Int64N(1e9)
		default:
			at += r.Int64N(1e6)
		}
		stamps = append(stamps, at)
		n := 28 + r.IntN(1000)
		packet := make([]byte, n)
		copy(packet, []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 10, 10, 1, 0, 20})
		binary.BigEndian.PutUint16(packet[2:], uint16(n))
		binary.BigEndian.PutUint16(packet[4:], uint16(i))
		for j := 28; j < n; j++ {
			packet[j] = byte(r.Uint32())
		}
		b = le.AppendUint32(b, uint32(at/1e9))
		b = le.AppendUint32(b, uint32(at%1e9))
		b = le.AppendUint32(b, uint32(n))
		b = le.AppendUint32(b, uint32(n))
		b = append(b, packet...)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return stamps
}
