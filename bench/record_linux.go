package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/tunrec/tunrec/internal/load"
)

const (
	headerBytes = 20 + 8 // IPv4 and UDP
	segments    = 32     // packets per send: any packet up to the MTU fits
	flood       = 0      // packets per second of a load without a rate

	// patience is how long a recorder may take beside the sending.
	patience = time.Minute
	// tapDelay is more than libpcap leaves packets in the kernel's ring: tcpdump,
	// told to stop, forgets those.
	tapDelay = 1100 * time.Millisecond
)

// stream is a load of UDP packets.
type stream struct {
	packetBytes int  // with IP header
	perSecond   int  // or flood
	zeros       bool // that is the payload, instead of noise
	singly      bool // sent, so that each packet has a time of its own
}

func (s stream) rate() string {
	if s.perSecond == flood {
		return "flood"
	}
	return short(float64(s.perSecond))
}

func (s stream) payload() string {
	if s.zeros {
		return "zeros"
	}
	return "noise"
}

func (s stream) String() string {
	return fmt.Sprintf("%dB/%s/%s", s.packetBytes, s.rate(), s.payload())
}

// packets is how many a load with a rate sends in that time.
func (s stream) packets(d time.Duration) uint64 { return uint64(d.Seconds() * float64(s.perSecond)) }

// send sends for that long; at a rate, exactly the packets that it means.
func (s stream) send(ctx context.Context, d time.Duration) (load.Result, error) {
	c := load.Config{
		Dst:              netip.AddrPortFrom(netip.MustParseAddr(devicePeer), 9),
		Packets:          s.packets(d),
		PayloadBytes:     s.packetBytes - headerBytes,
		PacketsPerSecond: s.perSecond,
		Segments:         segments,
		Random:           !s.zeros,
	}
	if s.singly {
		c.Segments, c.Jitter = 1, true
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
	memory    memory
	diskBytes int64
	late      []time.Duration // time stamp less time of sending, sorted; of packets sent singly
}

// missing is how many packets were sent that nobody counted.
func (r recording) missing() int64 { return int64(r.sent.Sent) - int64(r.total()) }

// lost is how many packets were sent that are not in the file.
func (r recording) lost() float64 { return float64(r.sent.Sent) - float64(r.recorded) }

// record measures once. The calling thread is in the namespace of the bench.
func (c contestant) record(ctx context.Context, s stream, d time.Duration, dir, self string) (r recording, err error) {
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	running, err := c.start(ctx, dir, self)
	if err != nil {
		return r, err
	}
	defer running.kill()
	if r.sent, err = s.send(ctx, d); err != nil {
		return r, err
	}
	if c.taps {
		sleep(ctx, tapDelay)
	}
	if r.memory, err = running.memory(); err != nil {
		return r, err
	}
	output, err := running.stop()
	if err != nil {
		return r, err
	}
	r.cpu = running.cpu()
	if r.counts, err = c.counts(output); err != nil {
		return r, fmt.Errorf("%s: %w", c.name, err)
	}
	if c.noFile {
		return r, nil
	}
	if r.diskBytes, err = sizeOf(dir); err != nil {
		return r, err
	}
	return r, r.look(s, dir)
}

// look counts the packets in the file, whatever the contestant says of them.
func (r *recording) look(s stream, dir string) (err error) {
	r.recorded, err = readBack(dir, func(_ uint64, sent, recorded time.Time) {
		if s.singly {
			r.late = append(r.late, recorded.Sub(sent))
		}
	})
	slices.Sort(r.late)
	return err
}

var recordingLabels = []string{"recorder", "bytes", "payload", "packets/s", "counted by"}

var recordingColumns = []column[recording]{
	spread("sent/s", short, recording.rate),
	spread("recorded/s", short, recording.recordedRate),
	spread("lost in kernel", short, func(r recording) float64 { return float64(r.kernel) }),
	spread("lost in recorder", short, func(r recording) float64 { return float64(r.recorder) }),
	{"sent − all counted", sumCheck},
	spread("recorder's CPU", digits(2), recording.recorderCPU),
	spread("sender's CPU", digits(2), recording.senderCPU),
	spread("sum", digits(2), recording.sumCPU),
	spread("bytes on disk", digits(1), recording.diskPerPacket),
	spread("memory MB", digits(0), recording.memoryMB),
	spread("ring MB", digits(0), func(r recording) float64 { return float64(r.memory.ring) / 1e6 }),
}

func (r recording) rate() float64 { return float64(r.sent.Sent) / r.sent.Elapsed.Seconds() }

func (r recording) recordedRate() float64 { return float64(r.recorded) / r.sent.Elapsed.Seconds() }

// The CPU of a packet, in µs: of those recorded, of those sent.
func (r recording) recorderCPU() float64 { return perPacket(micros(r.cpu), r.recorded) }
func (r recording) senderCPU() float64   { return perPacket(micros(r.sent.CPU), r.sent.Sent) }
func (r recording) sumCPU() float64      { return r.recorderCPU() + r.senderCPU() }

func (r recording) diskPerPacket() float64 { return perPacket(float64(r.diskBytes), r.recorded) }

func (r recording) memoryMB() float64 { return float64(r.memory.own) / 1e6 }

// kept is the part of the packets sent that are in the file.
func (r recording) kept() float64 { return perPacket(float64(r.recorded), r.sent.Sent) }

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
	return fmt.Sprint(worst)
}

var clockLabels = []string{"recorder", "packets/s"}

var clockColumns = []column[recording]{
	spread("late by, median µs", digits(1), func(r recording) float64 { return r.lateBy(0.5) }),
	spread("p99 µs", digits(1), func(r recording) float64 { return r.lateBy(0.99) }),
	spread("least µs", digits(1), func(r recording) float64 { return r.lateBy(0) }),
}

// lateBy is a quantile of the error of the time stamps, in µs.
func (r recording) lateBy(quantile float64) float64 {
	if len(r.late) == 0 {
		return math.NaN()
	}
	return micros(r.late[int(quantile*float64(len(r.late)-1))])
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func perPacket(v float64, packets uint64) float64 { return v / float64(max(packets, 1)) }
