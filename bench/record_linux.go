package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tunrec/tunrec/internal/load"
)

const (
	headerBytes = 20 + 8 // IPv4 and UDP
	segments    = 32     // packets per send: any packet up to the MTU fits
	flood       = 0      // packets per second of a load without a rate

	// patience is how long a recorder may take beside the sending.
	patience = time.Minute
)

// stream is a load of UDP packets.
type stream struct {
	packetBytes int // with IP header
	perSecond   int // or flood
}

func (s stream) rate() string {
	if s.perSecond == flood {
		return "flood"
	}
	return short(float64(s.perSecond))
}

// streams are all loads, of packets that no compressor shrinks: what goes
// through tunnels is encrypted.
func streams() (all []stream) {
	for _, size := range []int{100, 1400} {
		for _, rate := range []int{50_000, 200_000, 500_000, flood} {
			all = append(all, stream{size, rate})
		}
	}
	return all
}

// send sends for that long; at a rate, exactly the packets that it means.
func (s stream) send(ctx context.Context, d time.Duration) (load.Result, error) {
	c := load.Config{
		Dst:              netip.AddrPortFrom(netip.MustParseAddr(devicePeer), 9),
		Packets:          uint64(d.Seconds() * float64(s.perSecond)),
		PayloadBytes:     s.packetBytes - headerBytes,
		PacketsPerSecond: s.perSecond,
		Segments:         segments,
		Random:           true,
	}
	if s.perSecond != flood {
		return load.Send(ctx, c)
	}
	c.Packets = math.MaxUint64
	timed, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	sent, err := load.Send(timed, c)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil
	}
	return sent, err
}

// recording is one measurement of a contestant under a load.
type recording struct {
	counts
	sent      load.Result
	cpu       time.Duration // of the recorder, since it was ready
	rssBytes  int64
	diskBytes int64
}

// missing is how many packets were sent that the recorder did not count.
func (r recording) missing() int64 { return int64(r.sent.Sent) - int64(r.total()) }

// record measures once. The calling thread is in the namespace of the bench.
func (c contestant) record(ctx context.Context, s stream, d time.Duration, dir string) (r recording, err error) {
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	p, err := start(ctx, c.argv(dir), c.ready)
	if err != nil {
		return r, err
	}
	if r.sent, err = s.send(ctx, d); err == nil {
		r.rssBytes, err = p.peakRSS()
	}
	if err != nil {
		cancel()
		<-p.done
		return r, p.failed(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return r, p.failed(err)
	}
	output, err := p.end(c.lossCode)
	if err != nil {
		return r, err
	}
	r.cpu = p.cpu()
	if r.counts, err = c.counts(output); err != nil {
		return r, fmt.Errorf("%s: %w", c.name, err)
	}
	r.diskBytes, err = sizeOf(dir)
	return r, err
}

// sizeOf is the length of a file, or of all files in a directory.
func sizeOf(root string) (total int64, err error) {
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := os.Stat(name)
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

var recordingLabels = []string{"recorder", "bytes", "asked/s"}

var recordingColumns = []column[recording]{
	spread("reached/s", short, func(r recording) float64 { return float64(r.sent.Sent) / r.sent.Elapsed.Seconds() }),
	spread("sent", short, func(r recording) float64 { return float64(r.sent.Sent) }),
	spread("recorded", short, func(r recording) float64 { return float64(r.recorded) }),
	spread("lost: queue", short, func(r recording) float64 { return float64(r.byQueue) }),
	spread("lost: memory", short, func(r recording) float64 { return float64(r.noMemory) }),
	{"sum", sumCheck},
	spread("CPU µs/packet", digits(2), func(r recording) float64 { return perPacket(micros(r.cpu), r.recorded) }),
	spread("sender's CPU", digits(2), func(r recording) float64 { return perPacket(micros(r.sent.CPU), r.sent.Sent) }),
	spread("disk B/packet", digits(1), func(r recording) float64 { return perPacket(float64(r.diskBytes), r.recorded) }),
	spread("peak RSS MB", digits(0), func(r recording) float64 { return float64(r.rssBytes) / 1e6 }),
}

// sumCheck tells whether sent == recorded + lost in every round, or else what
// is missing in the worst.
func sumCheck(rounds []recording) string {
	var worst int64
	for _, r := range rounds {
		if r.sent.NoBuffers > 0 {
			return fmt.Sprintf("unknown: %d refused", r.sent.NoBuffers)
		}
		if m := r.missing(); max(m, -m) > max(worst, -worst) {
			worst = m
		}
	}
	if worst == 0 {
		return "exact"
	}
	return fmt.Sprintf("%d missing", worst)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func perPacket(v float64, packets uint64) float64 { return v / float64(max(packets, 1)) }
