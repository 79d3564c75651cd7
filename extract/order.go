package extract

import (
	"fmt"
	"iter"
	"math"
	"slices"
)

// cursor stands before a chunk of a file.
type cursor struct {
	head *piece
	key  int64 // no packet of the file from here on is put out before this time
	next func() (*piece, bool)
	stop func()
}

// advance goes to the next chunk. Its key is not below the times of the chunk
// before, even where the clock was set back between them: so of each file no
// more than one chunk is merged at a time, and its packets keep their order.
func (c *cursor) advance() (ok bool) {
	before := int64(math.MinInt64)
	if c.head != nil {
		before = max(c.key, c.head.latest)
	}
	if c.head, ok = c.next(); !ok {
		return false
	}
	c.key = max(before, c.head.earliest)
	c.head.key = c.key
	return true
}

// inOrder goes through the chunks of all files in the order in which their
// packets are needed. A file is opened when its first one is.
func (x *extraction) inOrder(files []*File) iter.Seq[*piece] {
	return func(yield func(*piece) bool) {
		var open []*cursor
		defer func() {
			for _, c := range open {
				c.stop()
			}
		}()
		for x.ctx.Err() == nil {
			held := heldBy(open)
			if x.held.Store(held); len(open) > 1 && held > maxMerged {
				yield(&piece{ends: errTooMany})
				return
			}
			nearest := -1
			for i, c := range open {
				if nearest < 0 || c.key < open[nearest].key {
					nearest = i
				}
			}
			if len(files) > 0 && (nearest < 0 || files[0].Info.First <= open[nearest].key) {
				c := &cursor{}
				c.next, c.stop = iter.Pull(x.chunks(files[0]))
				files = files[1:]
				if c.advance() {
					open = append(open, c)
				}
				continue
			}
			if nearest < 0 {
				return
			}
			if !yield(open[nearest].head) {
				return
			}
			if !open[nearest].advance() {
				open = slices.Delete(open, nearest, nearest+1)
			}
		}
	}
}

// heldBy is how many bytes of memory it takes to read on in files of others, that
// of the chunks before which their cursors stand included.
func heldBy(open []*cursor) (held int64) {
	for _, c := range open {
		held += int64(c.head.held)
	}
	return held
}

// errTooMany ends what would take too much memory.
var errTooMany = fmt.Errorf("files have packets of the same time, and it takes more than %d MiB of memory to read them at once: "+
	"join some of them first, or decompress those that zstd has made with a long window", maxMerged>>20)
