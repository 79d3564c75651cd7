package main

import (
	"context"
	"os"
	"time"
)

const (
	bisections = 6
	// bisectTime is how long a rate has to hold: queues and rings hide what is
	// too fast for less.
	bisectTime = 2 * time.Second
)

// ceiling is the highest rate at which nothing was lost.
type ceiling struct {
	perSecond float64 // as the sender reached it
	atFlood   bool    // the sender has no more
}

// ceiling bisects once, from the rate of the flood down.
func (c contestant) ceiling(ctx context.Context, s stream, dir, self string) (top ceiling, err error) {
	holds := func(perSecond int) (ok bool, reached float64, err error) {
		s.perSecond = perSecond
		step, err := os.MkdirTemp(dir, "step-")
		if err != nil {
			return false, 0, err
		}
		defer os.RemoveAll(step)
		r, err := c.record(ctx, s, bisectTime, step, self)
		return r.lost() == 0, r.rate(), err
	}
	ok, reached, err := holds(flood)
	if ok || err != nil {
		return ceiling{reached, true}, err
	}
	low, high := 0.0, reached
	for range bisections {
		rate := (low + high) / 2
		ok, reached, err := holds(int(rate))
		if err != nil {
			return top, err
		}
		if ok {
			low, top.perSecond = rate, reached
		} else {
			high = rate
		}
	}
	return top, nil
}

var ceilingLabels = []string{"recorder", "bytes"}

var ceilingColumns = []column[ceiling]{
	spread("packets/s", short, func(c ceiling) float64 { return c.perSecond }),
	{"limited by", func(rounds []ceiling) string {
		for _, c := range rounds {
			if !c.atFlood {
				return "losses"
			}
		}
		return "the sender"
	}},
}
