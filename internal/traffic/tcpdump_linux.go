package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/gopacket/pcapgo"
)

const endMark = "end of this capture"

// ringKiB holds every capture whole: a slot of the ring is as long as the MTU.
const ringKiB = "32768"

// record runs tcpdump at the client while the talks go on, and returns what
// it saw before the end mark.
func record(n *network, args []string, talks []talk) (packets []packet, err error) {
	cmd := exec.CommandContext(n.ctx, "tcpdump", append([]string{"-n", "-U", "--immediate-mode",
		"-B", ringKiB, "--time-stamp-precision=nano", "-w", "-"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := n.client.do(cmd.Start); err != nil {
		return nil, fmt.Errorf("starting tcpdump: %w", err)
	}
	said := bufio.NewScanner(stderr)
	defer func() {
		cmd.Process.Signal(os.Interrupt)
		io.Copy(io.Discard, stdout)
		err = errors.Join(err, checkDrops(said), cmd.Wait())
	}()
	if err := awaitListening(said); err != nil {
		return nil, err
	}
	for _, talk := range slices.Concat(talks, []talk{sayEnd}) {
		if err := talk(n); err != nil {
			return nil, err
		}
	}
	return readToMark(stdout)
}

// awaitListening returns when tcpdump misses nothing any more.
func awaitListening(said *bufio.Scanner) error {
	var lines []string
	for said.Scan() {
		if strings.Contains(said.Text(), "listening on") {
			return nil
		}
		lines = append(lines, said.Text())
	}
	return fmt.Errorf("tcpdump ended: %s", strings.Join(lines, "; "))
}

// checkDrops reads the counts that tcpdump ends with.
func checkDrops(said *bufio.Scanner) error {
	for said.Scan() {
		if count, found := strings.CutSuffix(said.Text(), " dropped by kernel"); found && count != "0 packets" {
			return fmt.Errorf("tcpdump lost %s", count)
		}
	}
	return said.Err()
}

func readToMark(stream io.Reader) ([]packet, error) {
	reader, err := pcapgo.NewReader(stream)
	if err != nil {
		return nil, fmt.Errorf("reading what tcpdump writes: %w", err)
	}
	var packets []packet
	for {
		data, info, err := reader.ReadPacketData()
		if err != nil {
			return nil, fmt.Errorf("reading what tcpdump writes: %w", err)
		}
		if bytes.Contains(data, []byte(endMark)) {
			return packets, nil
		}
		packets = append(packets, packet{at: info.Timestamp, length: info.Length, data: data})
	}
}
