package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/internal/outlet"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/tun"
)

// console is where every message to a person goes: standard error, since standard
// output is for packets. While a recording runs (newUI's live), nobody waits for it.
var console = outlet.New(os.Stderr, func(n uint64) string {
	return fmt.Sprintf("tunrec: %s not shown: nobody read standard error\n", numbered(n, "message was", "messages were"))
})

// How long the end of the process waits for a reader of its messages: as long as it
// takes some every outletStall, at most outletLimit.
const (
	outletStall = 300 * time.Millisecond
	outletLimit = 5 * time.Second
)

// printError prints an error, and its hint where it has one.
func printError(err error) {
	text := strings.ReplaceAll(err.Error(), "\n", "; ") // joined errors: one line
	all := "tunrec: error: " + harmless(text) + "\n"
	var coded *codedError
	if errors.As(err, &coded) {
		if coded.lines != "" {
			all += strings.TrimRight(coded.lines, "\n") + "\n"
		}
		if coded.hint != "" {
			all += "tunrec: hint: " + harmless(coded.hint) + "\n"
		}
	}
	console.Insist(all)
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

// ui says what a command does, to a person and, with --json, to a program.
type ui struct {
	quiet, verbose bool
	terminal       bool
	events         eventWriter
	names          *outlet.Outlet // -b printname; nil: nowhere

	file atomic.Pointer[string] // the current one; nil: none yet

	harmed   atomic.Uint64 // packets in files that others have removed or changed
	unplaced atomic.Uint64 // lost packets that no file's statistics have

	readerGone atomic.Bool // of standard output
}

func newUI(quiet, verbose bool) *ui {
	return &ui{quiet: quiet, verbose: verbose, terminal: term.IsTerminal(int(os.Stderr.Fd()))}
}

// newLiveUI is for a recording: nothing that is said holds it up.
func newLiveUI(quiet, verbose, json bool) *ui {
	u := newUI(quiet, verbose)
	console.Start()
	if json {
		u.events.out = newEventOutlet(os.Stdout)
	}
	return u
}

// flush waits for the readers of events and names, see outletStall; main waits for
// that of the console.
func (u *ui) flush() {
	var all sync.WaitGroup
	for _, o := range []*outlet.Outlet{u.events.out, u.names} {
		all.Go(func() { o.Flush(outletStall, outletLimit) })
	}
	all.Wait()
}

// say prints one message, unless nothing but errors is wanted.
func (u *ui) say(format string, args ...any) {
	if !u.quiet {
		u.print(format, args...)
	}
}

func (u *ui) print(format string, args ...any) { console.Send(line(format, args...)) }

func line(format string, args ...any) string {
	return "tunrec: " + harmless(fmt.Sprintf(format, args...)) + "\n"
}

// clearLine takes the rewritten line away.
func (u *ui) clearLine() { console.Status("") }

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
		u.file.Store(&e.Name)
		if u.verbose {
			u.say("%s: opened", e.Name)
		}
	case recorder.FileClosed:
		if u.verbose {
			u.say("%s: closed (%s), %s, %s on disk", e.Name, e.Reason, packets(e.Packets), humanize.IBytes(e.Bytes))
		}
		if e.Err == nil {
			u.names.Send(e.Name + "\n")
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
		u.say("%v: %s", e.Err, meanwhile[e.Doing])
	case recorder.Recovered:
		u.say("%s", recovered[e.Doing])
	case recorder.FileHarmed:
		u.harmed.Add(e.Packets)
		u.say("%v: it held %s", e.Err, packets(e.Packets))
	case recorder.Unplaced:
		u.unplaced.Add(e.Packets)
	}
}

// meanwhile is what is done while something fails, recovered what is said afterwards.
var meanwhile = map[recorder.Doing]string{
	recorder.DoingWrite:  "the recording goes on in memory, and writing is tried again every second",
	recorder.DoingSync:   "what was written may not survive a crash of the machine; it is synced again later",
	recorder.DoingEnd:    "the file is readable; its index is written when that is possible",
	recorder.DoingRetain: "old files stay; removing them is tried again with the next file",
}

var recovered = map[recorder.Doing]string{
	recorder.DoingWrite:  "writing goes on, with what waits in memory",
	recorder.DoingSync:   "syncing works again",
	recorder.DoingEnd:    "all files have their index",
	recorder.DoingRetain: "removing old files works again",
}

// lastLine is what a hook printed last, behind its error.
func lastLine(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// counts prints counts while the recording goes on (SIGUSR1, SIGINFO).
func (u *ui) counts(s recorder.Stats) {
	u.events.counts("counts", s)
	u.print("%s dropped, %s received, %s recorded, %s in memory", packets(s.Lost()), count(s.Received), count(s.Recorded), count(s.InMemory))
}

// watch shows how the recording goes until the function that it returns is called: on
// a terminal in one line that is rewritten every second. It says how a stop goes that
// takes long, on others too.
func (u *ui) watch(stopping context.Context, rec *recorder.Recorder, name string) (end func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { u.watchStop(stopping, rec, done) })
	if !u.quiet && u.terminal {
		all.Go(func() { u.rewriteStatus(stopping, rec, name, done) })
	}
	return func() {
		close(done)
		all.Wait()
		u.clearLine()
	}
}

// A stop that takes longer than stopPatience is told of, and again every stopEvery.
const (
	stopPatience = time.Second
	stopEvery    = 10 * time.Second
)

// watchStop says what a stop has still to write, where that takes long.
func (u *ui) watchStop(stopping context.Context, rec *recorder.Recorder, done <-chan struct{}) {
	select {
	case <-stopping.Done():
	case <-done:
		return
	}
	for wait := stopPatience; ; wait = stopEvery {
		select {
		case <-time.After(wait):
		case <-done:
			return
		}
		s := rec.Stats()
		u.events.counts("stopping", s)
		if s.InMemory > 0 {
			u.say("stopping: %s still to be written; a second signal ends it at once", packets(s.InMemory))
		} else {
			u.say("stopping: all packets are written, the end of the file, or a hook, is awaited; a second signal ends it at once")
		}
	}
}

func (u *ui) rewriteStatus(stopping context.Context, rec *recorder.Recorder, name string, done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for before := rec.Stats(); ; {
		select {
		case <-tick.C:
		case <-done:
			return
		}
		now, file := rec.Stats(), name
		if f := u.file.Load(); f != nil {
			file = *f
		}
		text := statusLine(now, now.Received-before.Received, file)
		if stopping.Err() != nil {
			text = "stopping  " + text
		}
		u.rewrite(text)
		before = now
	}
}

// statusLine is the rewritten line: losses first, for narrow terminals, then packets,
// rate, bytes, what is not written yet, file.
func statusLine(s recorder.Stats, perSecond uint64, name string) string {
	return fmt.Sprintf("%s dropped  %s packets  %s/s  %s → %s  %s in memory  %s", count(s.Lost()), count(s.Received),
		count(perSecond), humanize.IBytes(s.OriginalBytes), humanize.IBytes(s.StoredBytes), count(s.InMemory), name)
}

func (u *ui) rewrite(text string) {
	text = harmless(text)
	if width, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil && width > 1 {
		if r := []rune(text); len(r) >= width {
			text = string(r[:width-1])
		}
	}
	console.Status(text)
}

// inexact says why the kernel's count of drops is a lower bound from now on.
func (u *ui) inexact(device, why string) {
	u.events.print("drops_inexact", fields{"interface": device, "reason": why})
	u.say("device %s: %s, so the kernel may have lost packets that it does not count: it has dropped at least as many as the counts say", device, why)
}

// abort says that a second signal has ended the recording, and ends the process.
func (u *ui) abort(s os.Signal) {
	if !u.quiet {
		console.Insist(line("%v again: ended at once; what was flushed is readable", s))
	}
	console.Flush(outletStall, outletStall)
	os.Exit(exitFailed) // no defer may wait for what hangs
}

// finished prints the closing counts: on a terminal line by line, else as the
// one line of a job's log.
func (u *ui) finished(s recorder.Stats, src *source, name string, took time.Duration) {
	u.events.stopped(s, src.afterStop(), u.readerGone.Load())
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
	switch {
	case u.readerGone.Load():
		lines = append(lines, "stopped because the reader of standard output has gone; "+packets(s.AfterLimit)+" not delivered")
	case s.AfterLimit > 0:
		lines = append(lines, packets(s.AfterLimit)+" read after the limit was reached")
	}
	if n := src.afterStop(); n > 0 {
		lines = append(lines, packets(n)+" came after the stop, before the device was gone")
	}
	if skipped := src.skipped(); skipped != "" {
		lines = append(lines, skipped)
	}
	if n := u.harmed.Load(); n > 0 {
		lines = append(lines, packets(n)+" recorded in files that somebody else removed or changed")
	}
	if n := u.unplaced.Load(); n > 0 {
		lines = append(lines, "no file has "+packets(n)+" of the losses in its statistics")
	}
	if n := console.Lost() + u.events.out.Lost(); n > 0 {
		lines = append(lines, numbered(n, "message was", "messages were")+" not shown")
	}
	if n := u.lostNames(); n > 0 {
		lines = append(lines, numbered(n, "file name was", "file names were")+" not printed: nobody read them")
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
	if u.quiet {
		return
	}
	if !u.terminal && !u.verbose {
		lines = []string{strings.Join(lines, "; ")}
	}
	for _, text := range lines {
		console.Insist(line("%s", text))
	}
}

// methodName is the name of a capfile.Method in Stats.Chunks.
func methodName(i int) string { return capfile.Method(i).String() }

// packets writes a number of packets.
func packets(n uint64) string {
	return plural(n, "packet")
}

// numbered writes a number and the words for one, or for many.
func numbered(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// count writes a number with separators: 1,234,567.
func count(n uint64) string { return humanize.BigComma(new(big.Int).SetUint64(n)) }
