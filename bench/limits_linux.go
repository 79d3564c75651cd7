package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/tun"
)

const (
	bareReady   = "reading\n"
	bareClosing = "read %d, dropped by the queue %d"

	pieceBytes    = 1 << 20
	encodeClosing = "%d bytes in %d ns of CPU"
)

// bare makes a device, reads it until SIGINT and forgets the packets: what is
// left of a recorder where it only reads and stamps.
func bare(name string) error {
	runtime.LockOSThread()
	d, err := tun.Open(tun.Config{Name: name, Ingest: tun.IngestRead})
	if err != nil {
		return err
	}
	defer d.Close()

	var stopped atomic.Bool
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT)
	go func() {
		<-signals
		stopped.Store(true)
		d.Wake()
	}()

	if err := address(name); err != nil {
		return err
	}
	fmt.Print(bareReady)
	read, err := drain(d, &stopped)
	if err != nil {
		return err
	}
	dropped, _, err := d.Drops()
	fmt.Printf(bareClosing, read, dropped)
	return err
}

// drain reads until it was stopped and nothing is left.
func drain(d *tun.Device, stopped *atomic.Bool) (read uint64, err error) {
	packet := make([]byte, tun.MaxPacket)
	for {
		ending := stopped.Load() // before the read: what was sent before the stop is read
		n, _, _, err := d.Next(packet, nil)
		switch {
		case err != nil:
			return read, err
		case n > 0:
			read++
		case ending:
			return read, nil
		default:
			if err := d.Wait(-1); err != nil {
				return read, err
			}
		}
	}
}

func bareCounts(output string) (c counts, err error) {
	_, err = fmt.Sscanf(strings.TrimPrefix(output, bareReady), bareClosing, &c.recorded, &c.kernel)
	if err != nil {
		err = fmt.Errorf("no closing counts in %q: %w", output, err)
	}
	return c, err
}

// encode compresses a file piece by piece as tunrec compresses its slabs, and
// forgets the result: what is left of a replay where it only compresses.
func encode(name string) error {
	runtime.LockOSThread() // the CPU time is this thread's
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(pieceBytes),
		zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	var out int
	var cpu time.Duration
	piece, encoded := make([]byte, pieceBytes), make([]byte, 0, 2*pieceBytes)
	for {
		n, err := io.ReadFull(f, piece)
		if n == 0 && err == io.EOF {
			break
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		before := cpuClock(unix.CLOCK_THREAD_CPUTIME_ID)
		encoded = z.EncodeAll(piece[:n], encoded[:0])
		cpu += cpuClock(unix.CLOCK_THREAD_CPUTIME_ID) - before
		out += len(encoded)
	}
	fmt.Printf(encodeClosing, out, cpu.Nanoseconds())
	return nil
}
