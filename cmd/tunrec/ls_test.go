package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/catalog"
	"github.com/tunrec/tunrec/pcapng"
)

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1499 * time.Microsecond: "1ms", 820 * time.Millisecond: "820ms", 12345 * time.Millisecond: "12.3s",
		time.Minute: "1m0s", 245 * time.Second: "4m5s", time.Hour: "1h0m", 86399 * time.Second: "24h0m",
		24 * time.Hour: "1d0h", 291*time.Hour + time.Minute: "12d3h",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%d ns: %s, want %s", d, got, want)
		}
	}
}

// BenchmarkLs lists a thousand files of 100 chunks each.
func BenchmarkLs(b *testing.B) {
	const files, chunks = 1000, 100
	dir := b.TempDir()
	for i := range files {
		writeCapture(b, filepath.Join(dir, fmt.Sprintf("x_%05d_20261122160000.pcapng.zst", i+1)), chunks)
	}
	for b.Loop() {
		found, errs := catalog.Captures([]string{filepath.Join(dir, "x")})
		catalog.InspectAll(found)
		printListTable(io.Discard, found)
		if len(found) != files || errs != nil || found[files-1].Info.Chunks != chunks {
			b.Fatalf("%d files, %v", len(found), errs)
		}
	}
}

// writeCapture makes a file of that many chunks of a packet each.
func writeCapture(b *testing.B, name string, chunks int) {
	b.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w, err := capfile.NewWriter(f, capfile.Config{Section: pcapng.Section{Application: "tunrec", InterfaceName: "tun0"}})
	if err != nil {
		b.Fatal(err)
	}
	z := capfile.NewCompressor(capfile.WindowBytes(0))
	block := make([]byte, 100+pcapng.PacketOverhead)
	for i := range chunks {
		stamp := 1e18 + int64(i)*int64(time.Second)
		n := pcapng.PutPacket(block, 100, 100, stamp)
		c := &capfile.Chunk{Content: block[:n]}
		c.Packets, c.Earliest, c.Latest = 1, stamp, stamp
		if err := z.Compress(c, capfile.Stored, make([]byte, 0, capfile.EncodedCap(n))); err != nil {
			b.Fatal(err)
		}
		if err := w.WriteChunk(c); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(capfile.End{}); err != nil {
		b.Fatal(err)
	}
}

// TestHarmless: no control character reaches the terminal.
func TestHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"a file's name → ж":      "a file's name → ж",
		"\x1b]0;title\x07\r\n\t": `\x1b]0;title\a\r\n\t`,
		"\x9b31m \u009b31m":      `\x9b31m \u009b31m`,
		"\u202e'":                `\u202e'`,
		"":                       "",
	} {
		if got := harmless(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
