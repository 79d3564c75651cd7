package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// The capture that is read back: an hour of packets that do not compress.
const (
	readingBegin       = 1_795_363_200 // s since 1970
	readingSeconds     = 3600
	readingPacketBytes = 1400
	readingRounds      = 3
)

// took is one measurement of a command.
type took struct{ elapsed, cpu time.Duration }

// reading measures, on one capture of that size, what tunrec and Wireshark's
// tools take, in turn, to tell what is in it, to take 10 seconds out of it, and
// to print all of it: bench reading 10GB.
func reading(size string) error {
	bytes, err := humanize.ParseBytes(size)
	if err != nil {
		return fmt.Errorf("size of the capture: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "tunrec-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tunrec, err := build(ctx, dir)
	if err != nil {
		return err
	}
	capture := filepath.Join(dir, "capture.pcapng.zst")
	if err := makeCapture(ctx, tunrec, capture, bytes/readingPacketBytes); err != nil {
		return fmt.Errorf("make the capture: %w", err)
	}
	ours, theirs := filepath.Join(dir, "ours.pcapng.zst"), filepath.Join(dir, "theirs.pcapng")
	from, to := readingBegin+readingSeconds/2, readingBegin+readingSeconds/2+10
	slice := []string{tunrec, "slice", "-q", "--from", fmt.Sprintf("@%d", from), "--to", fmt.Sprintf("@%d", to), capture, "-o", ours}
	editcap := []string{"editcap", "-A", fmt.Sprint(from), "-B", fmt.Sprint(to), capture, theirs}
	rows := []row[took]{}
	jobs := []struct {
		what string
		cold bool // the capture is not in memory; else it has just done the same
		argv []string
	}{
		{"what is in it", false, []string{tunrec, "info", capture}},
		{"what is in it, cold", true, []string{tunrec, "info", capture}},
		// Without the hashes over the file that capinfos makes if not told.
		{"what is in it", false, []string{"capinfos", "-csduaeyizxk", capture}},
		{"10 s of it", false, slice},
		{"10 s of it, cold", true, slice},
		{"10 s of it", false, editcap},
		{"10 s of it, cold", true, editcap},
		{"all of it", false, []string{tunrec, "cat", "-q", capture}},
		{"all of it", false, []string{"mergecap", "-w", "-", capture}},
	}
	for _, j := range jobs {
		by := filepath.Base(j.argv[0])
		if by == "tunrec" {
			by += " " + j.argv[1]
		}
		rows = append(rows, row[took]{labels: []string{j.what, by}})
	}
	for range readingRounds {
		for i, j := range jobs {
			if j.cold {
				err = forget(capture)
			} else {
				os.Remove(ours) // tunrec overwrites nothing
				_, err = takes(ctx, j.argv)
			}
			if err != nil {
				return err
			}
			os.Remove(ours)
			m, err := takes(ctx, j.argv)
			if err != nil {
				return err
			}
			rows[i].rounds = append(rows[i].rounds, m)
		}
	}
	printTable(os.Stdout, fmt.Sprintf("Reading back %s of packets that do not compress.", size), []string{"what", "by"}, []column[took]{
		spread("ms", digits(0), func(t took) float64 { return t.elapsed.Seconds() * 1e3 }),
		spread("CPU ms", digits(0), func(t took) float64 { return t.cpu.Seconds() * 1e3 }),
	}, rows)
	return nil
}

// forget takes a file out of the page cache.
func forget(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// takes runs a command and measures it.
func takes(ctx context.Context, argv []string) (took, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) // prints to /dev/null
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return took{}, fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	elapsed := time.Since(begun)
	return took{elapsed, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// makeCapture records packets from a pipe.
func makeCapture(ctx context.Context, tunrec, capture string, packets uint64) error {
	cmd := exec.CommandContext(ctx, tunrec, "-q", "-r", "-", "-o", capture)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return errors.Join(writeRandom(in, packets), in.Close(), cmd.Wait())
}

// writeRandom writes a pcap of UDP packets.
func writeRandom(w io.Writer, packets uint64) error {
	out := bufio.NewWriterSize(w, 1<<20)
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b23c4d) // nanoseconds
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint32(b, 1<<18)
	out.Write(le.AppendUint32(b, 101)) // LINKTYPE_RAW
	payload := rand.NewChaCha8([32]byte{1})
	packet := make([]byte, readingPacketBytes)
	for i := range packets {
		at := i * readingSeconds * 1e9 / packets
		payload.Read(packet)
		copy(packet, []byte{0x45, 0, readingPacketBytes >> 8, readingPacketBytes & 0xff, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 10, 10, 1, 0, 20})
		b = le.AppendUint32(b[:0], readingBegin+uint32(at/1e9))
		b = le.AppendUint32(b, uint32(at%1e9))
		b = le.AppendUint32(b, readingPacketBytes)
		b = le.AppendUint32(b, readingPacketBytes)
		out.Write(b)
		if _, err := out.Write(packet); err != nil {
			return err
		}
	}
	return out.Flush()
}
