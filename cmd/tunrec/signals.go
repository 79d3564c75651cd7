package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/tunrec/tunrec/recorder"
)

// catchSignals keeps signals for handle. It is called before anything is made
// that an untimely end would leave behind.
func catchSignals() (signals chan os.Signal) {
	// A reader that closes its end of -o - is an error of the write, not a
	// reason to be killed.
	signal.Ignore(syscall.SIGPIPE)
	signals = make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	signal.Notify(signals, infoSignals...)
	return signals
}

// handle does what signals ask for until the function that it returns is
// called. The first SIGINT or SIGTERM stops the recording; the second one ends
// the process at once: what has been flushed is in the file.
func handle(signals chan os.Signal, cancel context.CancelFunc, rec *recorder.Recorder, ui *ui, series bool) (release func()) {
	go func() {
		stopping := false
		for s := range signals {
			switch {
			case s == syscall.SIGUSR2:
				rec.Flush()
			case s == syscall.SIGHUP && series:
				rec.EndFile()
			case s != os.Interrupt && s != syscall.SIGTERM && s != syscall.SIGHUP:
				ui.counts(rec.Stats())
			case !stopping:
				stopping = true
				cancel()
			default:
				ui.aborted(s)
				os.Exit(exitFailed)
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}
