package main

import (
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tunrec/tunrec/pcapng"
)

// writeEndless makes a compressed file of some megabytes with a pcapng
// header and 64 GiB of zeros in it: more than any machine reads while a test waits.
func writeEndless(t *testing.T, name string) {
	t.Helper()
	head, err := pcapng.Section{}.EncodeAs(101, 9)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if _, err := z.Write(head); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	// A member of 64 MiB of zeros takes 64 KiB. Again and again (RFC 1952 §2.2): 64 GiB.
	var member strings.Builder
	z = gzip.NewWriter(&member)
	if _, err := io.CopyN(z, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for range 1024 {
		if _, err := io.WriteString(f, member.String()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestRepairHearsSignals: a repair of a file that takes minutes ends when it is asked
// to, and leaves nothing.
func TestRepairHearsSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		writeEndless(t, filepath.Join(dir, "endless.gz"))
		cmd := exec.Command("tunrec", "repair", "-o", "out.pcapng", "endless.gz")
		cmd.Dir = dir
		var stderr transcript
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		out := filepath.Join(dir, "out.pcapng")
		for _, err := os.Stat(out); err != nil; _, err = os.Stat(out) { // it has begun
			select {
			case err := <-ended:
				t.Fatalf("ended by itself: %v: %s", err, &stderr)
			case <-time.After(10 * time.Millisecond):
			}
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			t.Fatalf("%v is not heard", sig)
		}
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "interrupted, nothing was written") {
			t.Errorf("%v: exit code %d: %s", sig, code, &stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%v: a file is left", sig)
		}
	}
}
