package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/recorder"
)

// printError prints an error, and its hint where it has one.
func printError(err error) {
	text := strings.ReplaceAll(err.Error(), "\n", "; ") // joined errors: one line
	fmt.Fprintf(os.Stderr, "tunrec: error: %s\n", text)
	var coded *codedError
	if errors.As(err, &coded) && coded.hint != "" {
		fmt.Fprintf(os.Stderr, "tunrec: hint: %s\n", coded.hint)
	}
}

// ui prints messages about a recording to standard error: standard output is
// for packets.
type ui struct {
	quiet, verbose bool
	terminal       bool

	mu   sync.Mutex
	line bool // the rewritten line is on the screen
}

func newUI(quiet, verbose bool) *ui {
	return &ui{quiet: quiet, verbose: verbose, terminal: term.IsTerminal(int(os.Stderr.Fd()))}
}

// say prints one message.
func (u *ui) say(format string, args ...any) {
	if u.quiet {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	fmt.Fprintf(os.Stderr, "tunrec: "+format+"\n", args...)
}

func (u *ui) clear() {
	if u.line {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
		u.line = false
	}
}

// started says what is recorded where, and how to see a packet.
func (u *ui) started(o options, src *source, name string) {
	from := src.name
	if src.file != nil {
		from = o.replay
	}
	var addrs []string
	for _, a := range src.addrs {
		if a.Peer.IsValid() {
			addrs = append(addrs, fmt.Sprintf("%s → %s", a.Local.Addr(), a.Peer))
		} else {
			addrs = append(addrs, a.String())
		}
	}
	if len(addrs) > 0 {
		from += " (" + strings.Join(addrs, ", ") + ")"
	}
	u.say("recording %s to %s", from, name)
	if src.device == nil {
		return
	}
	if u.verbose {
		c := o.recorder
		u.say("%d slabs of %s, at most %s for packets; device queue of %d packets", c.Slabs,
			humanize.IBytes(uint64(c.SlabBytes)), humanize.IBytes(uint64(c.SlabMemory())), o.device.QueueLen)
	}
	if len(src.addrs) > 0 {
		if target := src.addrs[0].Target(); target.IsValid() {
			u.say("to see a packet: ping -c 1 %s", target)
		}
	}
	if u.terminal {
		u.say("stop with Ctrl-C")
	}
}

// watch rewrites one line a second on a terminal, until the function that it
// returns is called.
func (u *ui) watch(rec *recorder.Recorder, name string) (stop func()) {
	if u.quiet || !u.terminal {
		return func() {}
	}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		before := rec.Stats()
		for {
			select {
			case <-tick.C:
				now := rec.Stats()
				u.rewrite(statusLine(now, now.Received-before.Received, name))
				before = now
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
		u.mu.Lock()
		defer u.mu.Unlock()
		u.clear()
	}
}

// statusLine is the rewritten line: packets, rate, bytes, losses, file.
func statusLine(s recorder.Stats, perSecond uint64, name string) string {
	return fmt.Sprintf("%s packets  %s/s  %s → %s  %s dropped  %s", count(s.Received), count(perSecond),
		humanize.IBytes(s.OriginalBytes), humanize.IBytes(s.StoredBytes), count(s.Lost()), name)
}

func (u *ui) rewrite(text string) {
	if width, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil && width > 1 {
		if r := []rune(text); len(r) >= width {
			text = string(r[:width-1])
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	fmt.Fprint(os.Stderr, "\r\x1b[K"+text)
	u.line = true
}

// aborted says that a second signal has ended the recording.
func (u *ui) aborted(s os.Signal) {
	u.say("%v again: ended at once; the file has what was flushed, but no index", s)
}

// finished prints the closing counts.
func (u *ui) finished(s recorder.Stats, skipped, name string, took time.Duration) {
	u.say("%s: %s packets recorded, %s of packets in %s on disk, %s", name, count(s.Recorded),
		humanize.IBytes(s.OriginalBytes), humanize.IBytes(s.StoredBytes), took.Round(time.Millisecond))
	atLeast := ""
	if !s.QueueExact {
		atLeast = "at least "
	}
	u.say("%s received, %s filtered, %s cut to the snaplen", count(s.Received), count(s.Filtered), count(s.Truncated))
	u.say("%s%s dropped by the device's queue, %s for want of memory, %s by write errors",
		atLeast, count(s.DroppedByQueue), count(s.DroppedNoSlab), count(s.DroppedByWrite))
	if skipped != "" {
		u.say("%s", skipped)
	}
	if u.verbose {
		var parts []string
		for m, n := range s.Chunks {
			if n > 0 {
				parts = append(parts, fmt.Sprintf("%s %v", count(n), capfile.Method(m)))
			}
		}
		if len(parts) > 0 {
			u.say("chunks: %s", strings.Join(parts, ", "))
		}
	}
}

// count writes a number with separators: 1,234,567.
func count(n uint64) string { return humanize.Comma(int64(n)) }
