package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/rotate"
	"github.com/tunrec/tunrec/tun"
)

// printError prints an error, and its hint where it has one.
func printError(err error) {
	text := strings.ReplaceAll(err.Error(), "\n", "; ") // joined errors: one line
	fmt.Fprintf(os.Stderr, "tunrec: error: %s\n", harmless(text))
	var coded *codedError
	if !errors.As(err, &coded) {
		return
	}
	if coded.lines != "" {
		fmt.Fprintln(os.Stderr, strings.TrimRight(coded.lines, "\n"))
	}
	if coded.hint != "" {
		fmt.Fprintf(os.Stderr, "tunrec: hint: %s\n", harmless(coded.hint))
	}
}

// harmless writes what is not printable as Go does, \x1b: strangers' file names
// and errors about them must not control the terminal.
func harmless(text string) string {
	if isHarmless(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if n == 1 && r == utf8.RuneError {
			fmt.Fprintf(&b, `\x%02x`, text[0])
		} else if notPrintable(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
		text = text[n:]
	}
	return b.String()
}

func isHarmless(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, notPrintable) < 0
}

func notPrintable(r rune) bool { return !strconv.IsPrint(r) }

// ui prints messages about a recording to standard error: standard output is
// for packets.
type ui struct {
	quiet, verbose bool
	terminal       bool
	events         eventWriter
	printName      *os.File // -b printname; nil: nowhere

	mu   sync.Mutex
	line bool   // the rewritten line is on the screen
	file string // the current one
}

func newUI(quiet, verbose, json bool) *ui {
	u := &ui{quiet: quiet, verbose: verbose, terminal: term.IsTerminal(int(os.Stderr.Fd()))}
	if json {
		u.events.w = os.Stdout
	}
	return u
}

// say prints one message, unless nothing but errors is wanted.
func (u *ui) say(format string, args ...any) {
	if !u.quiet {
		u.print(format, args...)
	}
}

func (u *ui) print(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	fmt.Fprintf(os.Stderr, "tunrec: %s\n", harmless(fmt.Sprintf(format, args...)))
}

// clearLine takes the rewritten line away.
func (u *ui) clearLine() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
}

func (u *ui) clear() {
	if u.line {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
		u.line = false
	}
}

// started says what is recorded where and as whom, and how to see a packet.
func (u *ui) started(o options, src *source, name string) {
	from := src.name
	if o.replay == "-" {
		from = "standard input"
	} else if src.file != nil {
		from = o.replay
	}
	var addrs, shown []string
	for _, a := range src.addrs {
		addrs = append(addrs, a.String())
		if a.Peer.IsValid() {
			shown = append(shown, fmt.Sprintf("%s → %s", a.Local.Addr(), a.Peer))
		} else {
			shown = append(shown, a.String())
		}
	}
	if len(shown) > 0 {
		from += " (" + strings.Join(shown, ", ") + ")"
	}
	u.say("recording %s to %s as %s", from, name, o.identity.name)
	u.events.started(src, addrs, o, name)
	u.ingest(o.device, src)
	if u.verbose {
		c := o.recorder
		beside := ""
		if src.ring() {
			beside = " beside the ring"
		}
		u.say("%d slabs of %s, at most %s for packets%s; device queue of %d packets", c.Slabs,
			humanize.IBytes(uint64(c.SlabBytes)), humanize.IBytes(uint64(c.SlabMemory())), beside, o.device.QueueLen)
	}
	if !u.terminal || src.device == nil {
		return
	}
	if len(src.addrs) > 0 {
		if target := src.addrs[0].Target(); target.IsValid() {
			u.say("to see a packet: ping -c 1 %s", target)
		}
	}
	u.say("stop with Ctrl-C")
}

// ingest says how packets come from the kernel, where that was not asked for or
// shows elsewhere.
func (u *ui) ingest(c tun.Config, src *source) {
	switch {
	case src.ring():
		u.say("ingest ring, %s in the kernel (%s): ip -s link counts every packet as dropped",
			humanize.IBytes(uint64(c.RingBytes)), src.device.IngestReason())
	case src.device != nil && runtime.GOOS == "linux" && c.Ingest == tun.IngestAuto:
		u.say("ingest read: %s", src.device.IngestReason())
	}
}

// event says what a sink reports, as far as a person wants to know.
func (u *ui) event(event any) {
	u.events.sink(event)
	switch e := event.(type) {
	case recorder.FileOpened:
		u.mu.Lock()
		u.file = e.Name
		u.mu.Unlock()
		if u.verbose {
			u.say("%s: opened", e.Name)
		}
	case recorder.FileClosed:
		if u.verbose {
			u.say("%s: closed (%s), %s, %s on disk", e.Name, e.Reason, packets(e.Packets), humanize.IBytes(e.Bytes))
		}
		if e.Err == nil && u.printName != nil {
			fmt.Fprintln(u.printName, e.Name)
		}
	case recorder.FileRemoved:
		if u.verbose {
			u.say("%s: removed (%s)", e.Name, e.Reason)
		}
	case recorder.FileKept:
		u.say("%s is kept, and counts for no limit: %v", e.Name, e.Err)
	case recorder.HookDone:
		if e.Err != nil {
			u.say("hook for %s: %v%s", e.Name, e.Err, lastLine(e.LastLine))
		}
	case recorder.Trouble:
		u.say("%v: the recording goes on in memory, and writing is tried again", e.Err)
	case recorder.Recovered:
		u.say("writing goes on")
	}
}

// lastLine is what a hook printed last, behind its error.
func lastLine(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// openPrintName opens what -b printname says. It is left to the end of the process
// to close it.
func (u *ui) openPrintName(to string, owner rotate.Owner) (err error) {
	switch to {
	case "":
	case "stdout":
		u.printName = os.Stdout
	case "stderr":
		u.printName = os.Stderr
	default:
		if u.printName, err = openNames(to, owner); err != nil {
			return fmt.Errorf("-b printname: %w", err)
		}
	}
	return nil
}

// openNames opens a file or FIFO for appending; a new file is the owner's. This is
// done as root, perhaps in a directory of others: no link leads elsewhere.
func openNames(name string, owner rotate.Owner) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	isNew := err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0)
	}
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) { // the latter on FreeBSD
		return nil, fmt.Errorf("%s is a symbolic link, which is not followed", name)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeNamedPipe:
		err = fmt.Errorf("%s is neither a regular file nor a FIFO", name)
	case isNew && owner.Set:
		err = f.Chown(owner.UID, owner.GID)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// counts prints counts while the recording goes on (SIGUSR1, SIGINFO).
func (u *ui) counts(s recorder.Stats) {
	u.events.counts("counts", s)
	u.print("%s received, %s recorded, %s dropped", packets(s.Received), count(s.Recorded), count(s.Lost()))
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
		current := func() string {
			u.mu.Lock()
			defer u.mu.Unlock()
			return cmp.Or(u.file, name)
		}
		for {
			select {
			case <-tick.C:
				now := rec.Stats()
				u.rewrite(statusLine(now, now.Received-before.Received, current()))
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
	text = harmless(text)
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

// finished prints the closing counts: on a terminal line by line, else as the
// one line of a job's log.
func (u *ui) finished(s recorder.Stats, src *source, name string, took time.Duration) {
	u.events.counts("stopped", s)
	atLeast := ""
	if !s.QueueExact {
		atLeast = "at least "
	}
	lines := []string{
		fmt.Sprintf("%s: %s recorded, %s of packets in %s on disk, %s", name, packets(s.Recorded),
			humanize.IBytes(s.OriginalBytes), humanize.IBytes(s.StoredBytes), took.Round(time.Millisecond)),
		fmt.Sprintf("%s received, %s filtered, %s cut to the snaplen", count(s.Received), count(s.Filtered), count(s.Truncated)),
		fmt.Sprintf("%s%s dropped by the kernel, %s for want of memory, %s by write errors",
			atLeast, count(s.DroppedByQueue), count(s.DroppedNoSlab), count(s.DroppedByWrite)),
	}
	if s.AfterLimit > 0 {
		lines = append(lines, packets(s.AfterLimit)+" read after the limit was reached")
	}
	if skipped := src.skipped(); skipped != "" {
		lines = append(lines, skipped)
	}
	if u.verbose {
		var parts []string
		for m, n := range s.Chunks {
			if n > 0 {
				parts = append(parts, count(n)+" "+methodName(m))
			}
		}
		if len(parts) > 0 {
			lines = append(lines, "chunks: "+strings.Join(parts, ", "))
		}
	}
	if u.terminal || u.verbose {
		for _, line := range lines {
			u.say("%s", line)
		}
		return
	}
	u.say("%s", strings.Join(lines, "; "))
}

// methodName is the name of a capfile.Method in Stats.Chunks.
func methodName(i int) string { return capfile.Method(i).String() }

// packets writes a number of packets.
func packets(n uint64) string {
	if n == 1 {
		return "1 packet"
	}
	return count(n) + " packets"
}

// count writes a number with separators: 1,234,567.
func count(n uint64) string { return humanize.BigComma(new(big.Int).SetUint64(n)) }
