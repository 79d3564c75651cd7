package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// job is a row of a table and how to measure it once, into an empty directory.
type job[M any] struct {
	name    string // for -only
	labels  []string
	measure func(ctx context.Context, dir string) (M, error)
}

// run measures everything that c asks for and prints the tables.
func run(ctx context.Context, c config, w io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root, for a network namespace and TUN devices: sudo go run ./bench")
	}
	dir, err := os.MkdirTemp("", "tunrec-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	tunrec, err := build(ctx, dir)
	if err != nil {
		return err
	}
	recordings, err := c.recordings(ctx, dir, self, tunrec)
	if err != nil {
		return err
	}
	replays, err := c.replays(ctx, dir, self, tunrec)
	if err != nil {
		return err
	}
	if len(recordings)+len(replays) == 0 {
		return fmt.Errorf("-only %v matches no row", c.only)
	}
	return c.print(w, recordings, replays)
}

// build makes the tunrec of this module.
func build(ctx context.Context, dir string) (string, error) {
	name := filepath.Join(dir, "tunrec")
	// VCS stamping would fail where root does not own the checkout.
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", name, "github.com/tunrec/tunrec/cmd/tunrec")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building tunrec: %w: %s", err, out)
	}
	return name, nil
}

func (c config) recordings(ctx context.Context, dir, self, tunrec string) (rows []row[recording], err error) {
	var jobs []job[recording]
	for _, s := range streams() {
		for _, who := range contestants(self, tunrec) {
			jobs = append(jobs, job[recording]{
				name:   fmt.Sprintf("record/%s/%dB/%s", who.name, s.packetBytes, s.rate()),
				labels: []string{who.name, fmt.Sprint(s.packetBytes), s.rate()},
				measure: func(ctx context.Context, dir string) (recording, error) {
					return who.record(ctx, s, c.duration, dir)
				},
			})
		}
	}
	err = inNamespace(func() error {
		rows, err = measure(ctx, c, dir, jobs)
		return err
	})
	return rows, err
}

func (c config) replays(ctx context.Context, dir, self, tunrec string) ([]row[replay], error) {
	capture := filepath.Join(dir, "input.pcapng")
	var jobs []job[replay]
	for _, who := range compressors(self, tunrec) {
		jobs = append(jobs, job[replay]{
			name:   "replay/" + who.name,
			labels: []string{who.name},
			measure: func(ctx context.Context, dir string) (replay, error) {
				return who.replay(ctx, capture, dir)
			},
		})
	}
	if len(wanted(c, jobs)) == 0 {
		return nil, nil
	}
	if err := writeCapture(capture, c.replayBytes); err != nil {
		return nil, fmt.Errorf("making a capture to replay: %w", err)
	}
	return measure(ctx, c, dir, jobs)
}

func wanted[M any](c config, jobs []job[M]) []job[M] {
	return slices.DeleteFunc(slices.Clone(jobs), func(j job[M]) bool {
		return !c.only.MatchString(j.name)
	})
}

// measure does every job once a round: what changes on the machine while the
// bench runs meets all of them.
func measure[M any](ctx context.Context, c config, dir string, jobs []job[M]) ([]row[M], error) {
	jobs = wanted(c, jobs)
	rows := make([]row[M], len(jobs))
	for round := range c.rounds {
		for i, j := range jobs {
			fmt.Fprintf(os.Stderr, "bench: round %d of %d: %s\n", round+1, c.rounds, j.name)
			m, err := inDirectory(ctx, dir, j)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", j.name, err)
			}
			rows[i].labels = j.labels
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

// inNamespace runs f on a thread in a network namespace of its own. Both end
// with f.
func inNamespace(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("making a network namespace: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}

func (c config) print(w io.Writer, recordings []row[recording], replays []row[replay]) error {
	fmt.Fprintf(w, "%s/%s, %d CPUs; median of %d rounds (least..most); MB = 1,000,000 bytes\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), c.rounds)
	if len(recordings) > 0 {
		fmt.Fprintf(w, "\nRecording from a TUN device: one thread sends UDP for %v; bytes are of a packet with its IP\n"+
			"header, the payload is noise. CPU of the recorder's process, since it was ready, by packets recorded;\n"+
			"of the sending thread, by packets sent. Memory until the stop.\n\n", c.duration)
		if err := printTable(w, recordingLabels, recordingColumns, recordings); err != nil {
			return err
		}
	}
	if len(replays) > 0 {
		fmt.Fprintf(w, "\nCompressing a plain pcapng of %.0f MB, %d-byte packets, half of each noise, by tunrec -r with\n"+
			"zstd:fastest and one worker (CPU of the whole process), and by zstd's EncodeAll alone (CPU of its calls).\n\n",
			float64(c.replayBytes)/1e6, replayPacketBytes)
		return printTable(w, replayLabels, replayColumns, replays)
	}
	return nil
}
