package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// progress rewrites one line of a terminal while a file is read: how far, how
// fast, how long it will take. It is for one goroutine.
type progress struct {
	ui    *ui
	what  string
	size  int64
	start time.Time
	drawn time.Time
}

func newProgress(ui *ui, what string, size int64) *progress {
	now := time.Now()
	return &progress{ui: ui, what: what, size: size, start: now, drawn: now}
}

// set draws the bar, some times a second at most.
func (p *progress) set(done int64) {
	const interval = 200 * time.Millisecond
	if !p.ui.terminal || p.ui.quiet {
		return
	}
	now := time.Now()
	if now.Sub(p.drawn) < interval {
		return
	}
	p.drawn = now
	p.ui.rewrite(progressLine(p.what, done, p.size, now.Sub(p.start)))
}

// done takes the bar away.
func (p *progress) done() { p.ui.clearLine() }

func progressLine(what string, done, size int64, took time.Duration) string {
	const width = 20
	part := float64(done) / float64(max(size, 1))
	full := min(int(part*width), width)
	bar := strings.Repeat("█", full) + strings.Repeat("░", width-full)
	rate := float64(done) / took.Seconds()
	left := time.Duration(float64(size-done) / max(rate, 1) * float64(time.Second))
	return fmt.Sprintf("%s  %s %3.0f %%  %s/s  %s left", printable(what), bar, part*100,
		humanize.IBytes(uint64(rate)), left.Round(time.Second))
}
