package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/tunrec/tunrec/pcapng"
)

const (
	replayPacketBytes = 100

	// At the fastest level reading the capture is what takes longest, so another
	// one shows what workers do.
	oneWorker  = "tunrec, zstd:better, 1 worker"
	twoWorkers = "tunrec, zstd:better, 2 workers"
)

// compressor turns the capture file into something smaller.
type compressor struct {
	name    string
	argv    func(capture, dir string) []string
	outcome func(p *process, output, dir string) (compression, error)
}

// compression is one measurement of a compressor.
type compression struct {
	inBytes, outBytes int64
	cpu, elapsed      time.Duration
}

func compressors(self, tunrec string) []compressor {
	return []compressor{
		replayWith(tunrec, "tunrec, 1 worker", "zstd:fastest", 1),
		replayWith(tunrec, "tunrec, 2 workers", "zstd:fastest", 2),
		replayWith(tunrec, oneWorker, "zstd:better", 1),
		replayWith(tunrec, twoWorkers, "zstd:better", 2),
		{
			name: "EncodeAll",
			argv: func(capture, _ string) []string { return []string{self, "encode", capture} },
			outcome: func(_ *process, output, _ string) (r compression, err error) {
				_, err = fmt.Sscanf(output, encodeClosing, &r.outBytes, &r.cpu)
				return r, err
			},
		},
	}
}

func replayWith(tunrec, name, level string, workers int) compressor {
	return compressor{
		name: name,
		argv: func(capture, dir string) []string {
			return []string{tunrec, "-r", capture, "-o", filepath.Join(dir, "capture.pcapng"),
				"--compress", level, "--workers", fmt.Sprint(workers)}
		},
		outcome: func(p *process, _, dir string) (r compression, err error) {
			r.cpu = p.cpu()
			r.outBytes, err = sizeOf(dir)
			return r, err
		},
	}
}

// replay measures once.
func (c compressor) replay(ctx context.Context, capture, dir string) (r compression, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := start(ctx, c.argv(capture, dir), "", nil, nil)
	if err != nil {
		return r, err
	}
	output, err := p.end(0)
	if err != nil {
		return r, err
	}
	if r, err = c.outcome(p, output, dir); err != nil {
		return r, p.failed(err)
	}
	r.elapsed = p.elapsed
	r.inBytes, err = sizeOf(capture)
	return r, err
}

// captureOnce makes the capture where it is not there yet.
func captureOnce(name string, size int64) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	return writeCapture(name, size)
}

// writeCapture writes a plain pcapng file of size bytes or a little more: UDP
// packets, the first half of each always the same and the second one noise.
func writeCapture(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(writePackets(w, size), w.Flush(), f.Close())
}

func writePackets(w *bufio.Writer, size int64) error {
	section, err := pcapng.Section{Application: "tunrec bench"}.Encode()
	if err != nil {
		return err
	}
	block := make([]byte, replayPacketBytes+pcapng.PacketOverhead)
	packet := block[pcapng.PacketHeaderLen:][:replayPacketBytes]
	copy(packet, []byte{
		0x45, 0, 0, replayPacketBytes, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 10, 10, 1, 0, 20, // IPv4
		0x30, 0x39, 0, 9, 0, replayPacketBytes - 20, 0, 0, // UDP
	})
	noise := rand.NewChaCha8([32]byte{})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

	_, err = w.Write(section)
	for written := int64(0); written < size && err == nil; at += 1000 {
		noise.Read(packet[replayPacketBytes/2:])
		n := pcapng.PutPacket(block, replayPacketBytes, replayPacketBytes, at)
		_, err = w.Write(block[:n])
		written += int64(n)
	}
	return err
}

var replayLabels = []string{"compressor"}

var replayColumns = []column[compression]{
	spread("MB/s of CPU", digits(0), func(r compression) float64 { return float64(r.inBytes) / 1e6 / r.cpu.Seconds() }),
	spread("MB/s elapsed", digits(0), compression.speed),
	spread("ratio", digits(3), func(r compression) float64 { return float64(r.inBytes) / float64(r.outBytes) }),
}

// speed is what is compressed in a second, in MB.
func (r compression) speed() float64 { return float64(r.inBytes) / 1e6 / r.elapsed.Seconds() }
