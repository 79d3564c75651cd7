package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tunrec/tunrec/recorder"
)

// caught is what signals come to, and what tells one SIGHUP from another.
type caught struct {
	stops   chan os.Signal // a place of their own: no number of others displaces them
	signals chan os.Signal
	series  bool
	nohup   bool      // SIGHUP was ignored when the process began: nohup(1)
	user    *terminal // whose end sends SIGHUP, too

	early   chan os.Signal // the first stop, where it comes before handle
	handled chan struct{}  // closed by handle
}

// catchSignals keeps signals for handle. It is called before anything is made
// that an untimely end would leave behind, and before privileges are given up.
func catchSignals(series bool) caught {
	// A reader that closes its end of -o - is an error of the write, not a
	// reason to be killed. To ignore the signal would let hooks inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	c := caught{
		stops: make(chan os.Signal, 2), signals: make(chan os.Signal, 8),
		series: series, nohup: signal.Ignored(syscall.SIGHUP), user: controllingTerminal(),
		early: make(chan os.Signal, 1), handled: make(chan struct{}),
	}
	signal.Notify(c.stops, os.Interrupt, syscall.SIGTERM)
	signal.Notify(c.signals, syscall.SIGUSR1, syscall.SIGUSR2)
	signal.Notify(c.signals, infoSignals...)
	if series || !c.nohup {
		signal.Notify(c.signals, syscall.SIGHUP)
	}
	go c.whileStarting()
	return c
}

// whileStarting keeps the first stop for handle; a second one ends the process at once,
// as it does later: a directory that does not answer may hold up the start for long.
func (c caught) whileStarting() {
	for first := (time.Time{}); ; {
		select {
		case <-c.handled:
			return
		case s := <-c.stops:
			switch {
			case first.IsZero():
				first = time.Now()
				c.early <- s
			case time.Since(first) > sameStop:
				(&ui{}).abort(s)
			}
		}
	}
}

// sameStop is how long after a stop another one is taken for the same:
// timeout(1) and terminals that go away send two.
const sameStop = 100 * time.Millisecond

// handle does what signals ask for until the function that it returns is
// called, and from then on nothing: the process is about to end by itself. The
// first SIGINT or SIGTERM stops the recording; a second one ends the process
// at once: what has been flushed is in the file.
//
// SIGHUP begins the next file of a series, but where the terminal has hung up that sends
// it, too: then it is a stop, or with nohup(1) nothing. So is the end of the terminal
// where it sends none.
func (c caught) handle(cancel context.CancelFunc, rec *recorder.Recorder, ui *ui) (release func()) {
	close(c.handled)
	released := make(chan struct{})
	hungUp, forget := c.user.watch()
	go func() {
		var stopping time.Time
		for {
			var s os.Signal
			select {
			case s = <-c.early:
			case s = <-c.stops:
			case s = <-c.signals:
			case <-hungUp:
				s, hungUp = syscall.SIGHUP, nil
			case <-released:
				return
			}
			switch {
			case s == syscall.SIGUSR2:
				rec.Flush()
			case s == syscall.SIGHUP && c.series && !c.user.hangsUp():
				rec.EndFile()
			case s == syscall.SIGHUP && c.nohup:
			case s != os.Interrupt && s != syscall.SIGTERM && s != syscall.SIGHUP:
				ui.counts(rec.Stats())
			case stopping.IsZero():
				stopping = time.Now()
				if s == syscall.SIGHUP && c.user.hangsUp() {
					ui.say("the terminal has hung up: stopping")
				}
				cancel()
			case s != syscall.SIGHUP && time.Since(stopping) > sameStop:
				ui.abort(s)
			}
		}
	}()
	return func() { close(released); forget() }
}

// untilSignal returns a context that a signal ends. A second one kills, as if
// nobody had caught the first: what hangs can be ended.
func untilSignal() (context.Context, context.CancelFunc) {
	caught := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1)
		caught = append(caught, syscall.SIGHUP)
	}
	ctx, release := signal.NotifyContext(context.Background(), caught...)
	context.AfterFunc(ctx, func() { time.AfterFunc(sameStop, release) })
	return ctx, release
}
