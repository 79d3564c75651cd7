package recorder

import (
	"time"

	"github.com/tunrec/tunrec/rotate"
)

// After a chunk that went past the page cache, and behind which others have
// piled up, the cache is used: first directPause, then longer, up to
// maxDirectPause. Such a disk may be slow at all times, or now and then.
const (
	directPause    = time.Second
	maxDirectPause = time.Minute
)

// direct decides which chunks go past the page cache: all, as long as the disk
// keeps up. A cache takes what a disk does only later, for as long as it has
// memory; slabs have much less of it.
type direct struct {
	stage   *rotate.Stage // nil: none does
	written uint64        // by way of it, before the last chunk
	pause   time.Duration
	until   time.Time // of the last pause
}

// next returns what the next chunk is written by way of; behind tells whether
// others wait for it already.
func (d *direct) next(behind bool, now time.Time) *rotate.Stage {
	if d.stage == nil {
		return nil
	}
	if behind && d.stage.Written > d.written {
		if now.Sub(d.until) > maxDirectPause {
			d.pause = 0
		}
		d.pause = min(max(2*d.pause, directPause), maxDirectPause)
		d.until = now.Add(d.pause)
	}
	d.written = d.stage.Written
	if behind || now.Before(d.until) {
		return nil
	}
	return d.stage
}
