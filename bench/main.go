// Command bench measures what recording costs, and where it ends:
//
//	sudo go run ./bench
//
// It makes a network namespace of its own, builds tunrec, and runs it and other
// recorders in turn on a real TUN device, into which it sends numbered UDP
// packets. It counts what is in their files, and prints tables of what a packet
// costs and where it was lost, and whether tunrec reaches its targets. It needs
// Linux, root, go, and the other recorders (make bench installs them); captures
// go to $TMPDIR, up to some gigabytes at a time, and are deleted.
//
// A way through the files: run_linux.go (the whole run), jobs_linux.go (which
// rows), contestants_linux.go and peers_linux.go (who is measured),
// recorder_linux.go (one of them running) of process_linux.go and
// memory_linux.go (a measured process); record_linux.go (one recording under
// load), readback_linux.go (what is in its file), quiet_linux.go, bisect_linux.go,
// size_linux.go, replay_linux.go (what else is measured); limits_linux.go,
// plain_linux.go, hold_linux.go (parts that run by themselves), reading_linux.go
// (reading a large capture back: go run ./bench reading 10GB); table.go,
// targets_linux.go, machine_linux.go, plot.go, document.go and publish_linux.go
// (output).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

// config is what to measure.
type config struct {
	rounds      int
	duration    time.Duration  // of sending, in every recording
	only        *regexp.Regexp // of the names of rows
	replayBytes int64          // size of the capture that is compressed
	quick       bool           // few rows
	bisect      bool           // for the highest rate without loss, too
	document    string         // file whose measured part is replaced; "": none
	summary     string         // the same for a short table; "": none
	plot        string         // file for an SVG; "": none
}

func main() {
	if err := command(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func command() (err error) {
	if part, ok := parts[arg(1)]; ok {
		return part(arg(2))
	}
	c := config{replayBytes: 500e6}
	flag.IntVar(&c.rounds, "rounds", 3, "measure every row `N` times, in turn")
	seconds := flag.Float64("seconds", 2, "send for `T` seconds in every recording")
	only := flag.String("only", "", "measure only rows whose names match `REGEXP`, such as record/tunrec/100B/flood/noise or replay")
	flag.BoolVar(&c.quick, "quick", false, "measure one short round of few rows")
	flag.BoolVar(&c.bisect, "bisect", false, "look for the highest rate without loss, too")
	flag.StringVar(&c.document, "out", "", "put the tables between the markers in `FILE`, too")
	flag.StringVar(&c.summary, "summary", "", "put a short table between the markers in `FILE`")
	flag.StringVar(&c.plot, "svg", "", "draw a plot to `FILE`")
	flag.Parse()
	c.duration = time.Duration(*seconds * float64(time.Second))
	if c.quick {
		c.rounds, c.duration, c.replayBytes = 1, 300*time.Millisecond, 100e6
	}

	if c.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if flag.NArg() > 0 || c.rounds < 1 || c.duration <= 0 {
		return errors.New("takes no argument, at least 1 round and more than 0 seconds: bench -help")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return run(ctx, c, os.Stdout)
}

// parts are the pieces of the rig that run in a process of their own, so that
// it can be measured: bench NAME ARGUMENT.
var parts = map[string]func(arg string) error{"bare": bare, "encode": encode, "hold": hold, "plain": plain, "reading": reading}

func arg(i int) string {
	if i < len(os.Args) {
		return os.Args[i]
	}
	return ""
}
