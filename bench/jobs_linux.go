package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// job is a row of a table and how to measure it once, into an empty directory.
type job[M any] struct {
	name    string   // for -only, and to find the row
	tools   []string // commands that it runs
	labels  []string
	measure func(ctx context.Context, dir string) (M, error)
}

// common is the load that everybody is compared under.
var (
	common      = stream{packetBytes: 100, perSecond: 500_000}
	commonZeros = stream{packetBytes: 100, perSecond: 500_000, zeros: true}
)

// streams are the loads that a contestant meets: tunrec as users start it all
// of them, everybody those that the targets are about.
func (b *bench) streams(who contestant) []stream {
	if who.name == tunrecZstd && !b.quick {
		return matrix()
	}
	some := []stream{
		common,
		{packetBytes: 100, perSecond: flood},
		{packetBytes: 1400, perSecond: 200_000},
	}
	if b.quick {
		return some
	}
	return append(some,
		stream{packetBytes: 100, perSecond: 50_000},
		stream{packetBytes: 100, perSecond: 200_000},
		commonZeros,
	)
}

func matrix() (all []stream) {
	for _, zeros := range []bool{false, true} {
		for _, size := range []int{64, 100, 512, 1400} {
			for _, rate := range []int{50_000, 200_000, 500_000, flood} {
				all = append(all, stream{packetBytes: size, perSecond: rate, zeros: zeros})
			}
		}
	}
	return all
}

func recordName(who string, s stream) string { return "record/" + who + "/" + s.String() }

// recordings go stream by stream, so that who is compared is measured in turn.
func (b *bench) recordings() (jobs []job[recording]) {
	for _, s := range matrix() {
		for _, who := range b.contestants {
			if slices.Contains(b.streams(who), s) {
				jobs = append(jobs, b.recording(recordName(who.name, s), who, s, b.duration))
			}
		}
	}
	if !b.quick {
		jobs = append(jobs, b.recording(recordName(rotatingLabel, common), b.rotating(), common, rotatingTime))
	}
	return jobs
}

func (b *bench) recording(name string, who contestant, s stream, d time.Duration) job[recording] {
	return job[recording]{
		name:   name,
		tools:  who.tools(),
		labels: []string{who.name, fmt.Sprint(s.packetBytes), s.payload(), s.rate(), who.counter},
		measure: func(ctx context.Context, dir string) (recording, error) {
			return who.record(ctx, s, d, dir, b.self)
		},
	}
}

// A recording that is long enough for the next file to begin, twice.
const (
	rotatingLabel = "tunrec-rotating"
	rotatingTime  = 22 * time.Second
)

func (b *bench) rotating() contestant {
	return tunrecWith(b.tunrec, rotatingLabel, "-b", "duration:10")
}

// The rates at which the time stamps are looked at: hardly a load, and what a
// sender can do packet by packet.
const (
	clockIdle = 1_000
	clockBusy = 50_000
)

func clockName(who string, perSecond int) string {
	return fmt.Sprintf("clock/%s/%s", who, short(float64(perSecond)))
}

// ownClock are the recorders whose time stamps are made in different ways.
var ownClock = []string{tunrecZstd, tunrecRead, plainLoop, tcpdump, dumpcap, netsniff}

func (b *bench) clocks() (jobs []job[recording]) {
	for _, rate := range []int{clockIdle, clockBusy} {
		s := stream{packetBytes: 100, perSecond: rate, singly: true}
		for _, who := range b.keepers() {
			if slices.Contains(ownClock, who.name) {
				j := b.recording(clockName(who.name, rate), who, s, b.duration)
				j.labels = []string{who.name, s.rate()}
				jobs = append(jobs, j)
			}
		}
	}
	return jobs
}

// keepers are the contestants that write files.
func (b *bench) keepers() []contestant {
	return slices.DeleteFunc(slices.Clone(b.contestants), func(c contestant) bool { return c.noFile })
}

func quietName(who string) string { return "quiet/" + who }

func (b *bench) quiets() (jobs []job[quiet]) {
	for _, who := range b.keepers() {
		jobs = append(jobs, job[quiet]{
			name:   quietName(who.name),
			tools:  who.tools(),
			labels: []string{who.name},
			measure: func(ctx context.Context, dir string) (quiet, error) {
				return who.quiet(ctx, b.duration, 2*b.duration, dir, b.self)
			},
		})
	}
	return jobs
}

func (b *bench) ceilings() (jobs []job[ceiling]) {
	if !b.bisect {
		return nil
	}
	s := stream{packetBytes: 100}
	for _, who := range b.keepers() {
		jobs = append(jobs, job[ceiling]{
			name:   "bisect/" + who.name,
			tools:  who.tools(),
			labels: []string{who.name, fmt.Sprint(s.packetBytes)},
			measure: func(ctx context.Context, dir string) (ceiling, error) {
				return who.ceiling(ctx, s, dir, b.self)
			},
		})
	}
	return jobs
}

func sizesName(s stream) string { return "size/" + s.String() }

func (b *bench) sizes() (jobs []job[sizes]) {
	for _, s := range sizesStreams {
		jobs = append(jobs, job[sizes]{
			name:   sizesName(s),
			tools:  []string{"zstd"},
			labels: []string{fmt.Sprint(s.packetBytes), s.payload()},
			measure: func(ctx context.Context, dir string) (sizes, error) {
				return tunrecWith(b.tunrec, tunrecZstd).sizes(ctx, s, b.duration, dir, b.self)
			},
		})
	}
	return jobs
}

var sizesStreams = []stream{
	common,
	commonZeros,
	{packetBytes: 1400, perSecond: 50_000},
	{packetBytes: 1400, perSecond: 50_000, zeros: true},
}

func replayName(compressor string) string { return "replay/" + compressor }

func (b *bench) replays() (jobs []job[compression]) {
	capture := filepath.Join(b.dir, "input.pcapng")
	for _, who := range compressors(b.self, b.tunrec) {
		jobs = append(jobs, job[compression]{
			name:   replayName(who.name),
			labels: []string{who.name},
			measure: func(ctx context.Context, dir string) (compression, error) {
				if err := captureOnce(capture, b.replayBytes); err != nil {
					return compression{}, fmt.Errorf("making a capture to replay: %w", err)
				}
				return who.replay(ctx, capture, dir)
			},
		})
	}
	return jobs
}

// measure does every job that is asked for once a round: what changes on the
// machine while the bench runs meets all of them.
func measure[M any](ctx context.Context, b *bench, rounds int, jobs []job[M]) ([]row[M], error) {
	jobs = slices.DeleteFunc(jobs, func(j job[M]) bool { return !b.only.MatchString(j.name) })
	for _, j := range jobs {
		for _, tool := range j.tools {
			if _, err := exec.LookPath(tool); err != nil {
				return nil, fmt.Errorf("%s: %w: scripts/install-tools installs it", j.name, err)
			}
		}
	}
	rows := make([]row[M], len(jobs))
	for round := range rounds {
		for i, j := range jobs {
			fmt.Fprintf(os.Stderr, "bench: round %d of %d: %s\n", round+1, rounds, j.name)
			m, err := inDirectory(ctx, b.dir, j)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", j.name, err)
			}
			rows[i].name, rows[i].labels = j.name, j.labels
			rows[i].rounds = append(rows[i].rounds, m)
		}
	}
	return rows, nil
}

// inDirectory gives a job a directory of its own, as long as it lasts.
func inDirectory[M any](ctx context.Context, parent string, j job[M]) (m M, err error) {
	dir, err := os.MkdirTemp(parent, "job-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(dir)
	return j.measure(ctx, dir)
}
