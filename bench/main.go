// Command bench measures what recording costs, and where it ends:
//
//	sudo go run ./bench
//
// It makes a network namespace of its own, builds tunrec, runs one recorder
// after the other on a real TUN device, sends numbered UDP packets into it, and
// compares what each recorder counted with what was sent. A second table tells
// how fast a capture file is compressed. It needs Linux, root and go; captures
// go to $TMPDIR and are deleted.
//
// A way through the files: run_linux.go (the whole run), contestants_linux.go
// (who is measured), record_linux.go (one recording under load),
// replay_linux.go (one file compressed), process_linux.go (a measured process),
// limits_linux.go (what tunrec is measured against), table.go (output).
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
	seconds := flag.Float64("seconds", 1, "send for `T` seconds in every recording")
	only := flag.String("only", "", "measure only rows whose names match `REGEXP`, such as record/tunrec/100B/flood or replay")
	flag.Parse()
	c.duration = time.Duration(*seconds * float64(time.Second))

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
var parts = map[string]func(arg string) error{"bare": bare, "encode": encode}

func arg(i int) string {
	if i < len(os.Args) {
		return os.Args[i]
	}
	return ""
}
