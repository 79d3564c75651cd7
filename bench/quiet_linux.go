package main

import (
	"context"
	"slices"
	"time"
)

// trickle is a load with which a recorder has nearly nothing to do.
var trickle = stream{packetBytes: 100, perSecond: 10, singly: true}

const (
	settleTime  = time.Second           // after the start, before wake-ups count
	lookEvery   = 10 * time.Millisecond // at the file
	trickleTail = 3 * time.Second       // after the last packet, for it to be in the file
)

// quiet is one measurement of a contestant that has little or nothing to do.
type quiet struct {
	wakeUps  float64         // a second, without a packet
	readable []time.Duration // how long after its sending each packet was in the file, sorted
	unread   int             // packets that were not, until the stop
}

// quiet measures once.
func (c contestant) quiet(ctx context.Context, idle, sending time.Duration, dir, self string) (q quiet, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	running, err := c.start(ctx, dir, self)
	if err != nil {
		return q, err
	}
	defer running.kill()
	if q.wakeUps, err = running.idle(ctx, idle); err != nil {
		return q, err
	}

	looking, stop := context.WithCancel(ctx)
	defer stop()
	seen := make(chan map[uint64]time.Duration, 1)
	go func() { seen <- watch(looking, dir, trickle.packets(sending)) }()
	sent, err := trickle.send(ctx, sending)
	if err != nil {
		return q, err
	}
	defer time.AfterFunc(trickleTail, stop).Stop()
	for _, late := range <-seen {
		q.readable = append(q.readable, late)
	}
	slices.Sort(q.readable)
	q.unread = int(sent.Sent) - len(q.readable)
	_, err = running.stop()
	return q, err
}

// idle counts how often the recorder wakes up, while there is nothing to record.
func (r *recorder) idle(ctx context.Context, d time.Duration) (perSecond float64, err error) {
	sleep(ctx, settleTime)
	before, err := r.wakeUps()
	if err != nil {
		return 0, err
	}
	sleep(ctx, d)
	after, err := r.wakeUps()
	return float64(after-before) / d.Seconds(), err
}

// watch looks at the files again and again, until all packets are there or the
// context ends, and tells how long after its sending each could be read.
func watch(ctx context.Context, dir string, packets uint64) map[uint64]time.Duration {
	seen := make(map[uint64]time.Duration)
	for ctx.Err() == nil && uint64(len(seen)) < packets {
		// A file that grows ends anywhere: that error says nothing.
		readBack(dir, func(number uint64, sent, _ time.Time) {
			if _, ok := seen[number]; !ok {
				seen[number] = time.Since(sent)
			}
		})
		sleep(ctx, lookEvery)
	}
	return seen
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

var quietLabels = []string{"recorder"}

var quietColumns = []column[quiet]{
	spread("wake-ups/s", digits(1), quiet.wakeUpRate),
	spread("readable after, median s", digits(2), func(q quiet) float64 { return q.after(0.5) }),
	spread("most s", digits(2), func(q quiet) float64 { return q.after(1) }),
	spread("not until the stop", digits(0), func(q quiet) float64 { return float64(q.unread) }),
}

func (q quiet) wakeUpRate() float64 { return q.wakeUps }

// after is a quantile of how long a packet took to be readable, in seconds;
// +Inf for one that was not until the stop.
func (q quiet) after(quantile float64) float64 {
	i := int(quantile * float64(len(q.readable)+q.unread-1))
	if i >= len(q.readable) {
		return inf
	}
	return q.readable[i].Seconds()
}
