package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/pcapgo"
)

// judges count the packets of a capture file, each a program of its own. All
// but capinfos are given the file as far as it can be decompressed: tcpdump
// reads no zstd, and tshark calls a file that is cut off so.
var judges = map[string]func(file string) (int, error){
	"capinfos": func(file string) (int, error) {
		out, err := exec.Command("capinfos", "-cMTr", file).Output()
		fields := strings.Fields(string(out))
		if err != nil || len(fields) == 0 {
			return 0, fmt.Errorf("capinfos %s: %w: %s", file, err, out)
		}
		return strconv.Atoi(fields[len(fields)-1])
	},
	"tshark": func(file string) (int, error) {
		// What is in raw IP packets does not matter to a count, and to dissect
		// a million of them takes five times as long as to read them.
		return piped(file, "tshark -r - -n --disable-protocol raw -T fields -e frame.number | wc -l")
	},
	"tcpdump": func(file string) (int, error) {
		return piped(file, "tcpdump -r - --count -n 2>/dev/null")
	},
}

// piped gives the pcapng content of file to a shell command that prints a number
// first.
func piped(file, command string) (int, error) {
	unpack := "cat"
	if strings.HasSuffix(file, ".zst") {
		unpack = "zstd -dcq" // prints what it can, also of a file that is cut off
	}
	sh := exec.Command("bash", "-c", fmt.Sprintf("set -o pipefail; { %s -- \"$1\" || true; } | %s", unpack, command), "bash", file)
	var stderr bytes.Buffer
	sh.Stderr = &stderr
	out, err := sh.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w: %s", file, command, err, stderr.String())
	}
	number, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return strconv.Atoi(number)
}

// wantPackets has every judge count the packets in file.
func wantPackets(file string, want int) error {
	for name, count := range judges {
		got, err := count(file)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s counts %d packets in %s, want %d", name, got, file, want)
		}
	}
	return nil
}

// readCapture calls each for every packet of a capture file, in order, and
// returns what its statistics block says is dropped. It shares no code with
// what wrote the file: zstd decompresses and pcapgo parses.
func readCapture(t testing.TB, file string, each func(gopacket.CaptureInfo, []byte)) (dropped uint64) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	content := io.Reader(in)
	if strings.HasSuffix(file, ".zst") {
		zstd := exec.Command("zstd", "-dcq")
		zstd.Stdin = in
		pipe, err := zstd.StdoutPipe()
		if err == nil {
			err = zstd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := zstd.Wait(); err != nil {
				t.Errorf("zstd -dc %s: %v", file, err)
			}
		}()
		content = pipe
	}
	r, err := pcapgo.NewNgReader(content, pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for {
		data, info, err := r.ZeroCopyReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		each(info, data)
	}
	i, err := r.Interface(0)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return i.Statistics.PacketsDropped
}
