package filter

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// FuzzNames reads /etc/services and /etc/protocols as anybody may have written them.
func FuzzNames(f *testing.F) {
	f.Add(builtinServices, builtinProtocols)
	f.Add("a 65536/tcp\nb 0/tcp b\nc -1/udp\nd 1/\n", "x 4294967296\ny 256 y # z")
	f.Fuzz(func(t *testing.T, services, protocols string) {
		n := parseNames(services, protocols)
		for name, s := range n.services {
			if s.tcp < -1 || s.tcp > 65535 || s.udp < -1 || s.udp > 65535 || name == "" {
				t.Errorf("%q: %+v", name, s)
			}
		}
		if len(n.services)+len(n.protocols) > len(services)+len(protocols) {
			t.Errorf("%d services and %d protocols", len(n.services), len(n.protocols))
		}
	})
}

// TestReadOr: what is no file, or longer than any file of names, is not waited for.
func TestReadOr(t *testing.T) {
	dir := t.TempDir()
	fifo, long, good := filepath.Join(dir, "fifo"), filepath.Join(dir, "long"), filepath.Join(dir, "good")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{long: maxNamesFile + 1, good: maxNamesFile} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int{fifo: 1, long: 1, dir: 1, "/dev/zero": 1, filepath.Join(dir, "none"): 1, good: maxNamesFile} {
		if got := len(readOr(name, "x")); got != want {
			t.Errorf("%s: %d bytes, want %d", name, got, want)
		}
	}
}
