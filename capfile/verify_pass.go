package capfile

import (
	"io"
	"runtime"
)

// passMemory bounds the chunks that are decompressed at a time, in bytes: one
// of the largest (32 MiB on disk, 16 MiB of content) always goes.
const passMemory = 64 << 20

// maxPassWorkers bounds the buffers that are kept for them.
const maxPassWorkers = 15

// keptBuffer is the longest buffer that is kept for the next chunk.
const keptBuffer = 4 << 20

// checked is a piece of a file and, where that is a chunk, what is in it.
type checked struct {
	piece
	chunk *Chunk // nil: the chunk is damaged
	order timeOrder
	err   *CorruptError // what is wrong with the chunk
	buf   *Buffer
	done  chan struct{}
}

// each goes through the rest of the file, and gives every piece to visit, in
// order, while the chunks behind it are being decompressed. What visit gets is
// its own until it returns. The first error ends it.
func (s *survey) each(visit func(*checked) error) error {
	var (
		running []*checked
		free    []*Buffer
		memory  int64
		ended   error // of the survey
		next    *checked
	)
	defer func() {
		for _, c := range running {
			<-c.done
		}
	}()
	for {
		for len(running) <= min(runtime.GOMAXPROCS(0), maxPassWorkers) {
			if next == nil && ended == nil {
				var p piece
				if p, ended = s.next(); ended == nil {
					next = &checked{piece: p, done: make(chan struct{})}
				}
			}
			if next == nil || len(running) > 0 && memory+next.memory() > passMemory {
				break
			}
			if n := len(free); n > 0 {
				next.buf, free = free[n-1], free[:n-1]
			} else {
				next.buf = new(Buffer)
			}
			memory += next.memory()
			running = append(running, next)
			go s.r.check(next)
			next = nil
		}
		if len(running) == 0 {
			if ended == io.EOF {
				return nil
			}
			return ended
		}
		c := running[0]
		<-c.done
		running = running[1:]
		if err := visit(c); err != nil {
			return err
		}
		memory -= c.memory()
		if cap(c.buf.stored)+cap(c.buf.decoded) <= keptBuffer {
			free = append(free, c.buf)
		}
	}
}

// memory is what it takes to check a piece.
func (p *piece) memory() int64 {
	if p.kind != pieceChunk {
		return 0
	}
	return int64(p.entry.StoredLen) + int64(p.entry.ContentLen)
}

// check reads the chunk of c, if it is one.
func (r *Reader) check(c *checked) {
	defer close(c.done)
	if c.kind != pieceChunk {
		return
	}
	chunk, err := r.loadAt(c.at, c.entry, c.buf)
	if err == nil {
		c.order, err = chunk.checkPackets()
	}
	switch e := err.(type) {
	case nil:
		c.chunk = chunk
	case *CorruptError:
		c.err = e
	default:
		c.err = corrupt(c.at, "the chunk that begins there is not what its mark says: %w", err)
	}
}
