package extract

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/replay"
)

// reader is an open file, closed when nobody reads it any more.
type reader struct {
	*capfile.Reader
	users atomic.Int32
}

func (x *extraction) open(f *File) (*reader, error) {
	r, err := f.reader.Reopen()
	if err != nil {
		return nil, err
	}
	opened := &reader{Reader: r}
	opened.users.Store(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.readers[opened] = true
	return opened, nil
}

func (x *extraction) release(r *reader) {
	if r.users.Add(-1) > 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.readers, r)
	r.Close() // it was only read
}

// closeReaders closes what an extraction that ended early has left open.
func (x *extraction) closeReaders() {
	for r := range x.readers {
		r.Close()
	}
}

// chunks goes through the chunks of a file that may hold packets of the range.
// Those of a file by tunrec are not read yet.
func (x *extraction) chunks(f *File) iter.Seq[*piece] {
	if f.Foreign != nil {
		return x.foreignChunks(f)
	}
	return func(yield func(*piece) bool) {
		r, err := x.open(f)
		if err != nil {
			yield(&piece{file: f, err: err})
			return
		}
		defer x.release(r)
		at := f.Info.First // time of what was before; a chunk without packets has no other
		for g := range r.Groups() {
			if x.touches(min(at, g.Earliest), max(at, g.Latest)) && !x.group(f, r, g, at, yield) {
				return
			}
			at = max(at, g.Latest)
		}
		if x.has(at) {
			x.unplaced.AddCounts(&f.Info.Unplaced)
		}
	}
}

// prefetchBytes is how much of a file is asked for ahead of being read: the disk is to
// have enough to do.
const prefetchBytes = 8 << 20

// placed is a chunk and the times that it stands for.
type placed struct {
	capfile.Entry
	earliest, latest int64
}

// group goes through the chunks of a group, at being the time of what was before
// it. It returns false when it is enough.
func (x *extraction) group(f *File, r *reader, g capfile.Group, at int64, yield func(*piece) bool) bool {
	var touched []placed
	for e, err := range g.Chunks() {
		if err != nil {
			if !yield(&piece{file: f, err: err}) {
				return false
			}
			continue
		}
		p := placed{e, at, at}
		if e.Packets > 0 {
			p.earliest, p.latest = e.Earliest, e.Latest
			at = max(at, e.Latest)
		}
		if x.touches(p.earliest, p.latest) {
			touched = append(touched, p)
		}
	}
	next, ahead := 0, int64(0) // the first that was not asked for, and bytes of those that were
	for _, p := range touched {
		for ; next < len(touched) && ahead < prefetchBytes; next++ {
			r.Prefetch(touched[next].Entry)
			ahead += int64(touched[next].StoredLen)
		}
		stored := int64(p.StoredLen)
		ahead -= stored
		r.users.Add(1)
		if !yield(&piece{file: f, reader: r, entry: p.Entry, earliest: p.earliest, latest: p.latest, read: stored}) {
			return false
		}
	}
	return true
}

// foreignChunks makes chunks out of the packets of a file of others, and takes
// out those that are not asked for right away.
func (x *extraction) foreignChunks(f *File) iter.Seq[*piece] {
	return func(yield func(*piece) bool) {
		r := f.stdin
		if r == nil {
			var err error
			if r, err = replay.Open(f.Name); err != nil {
				yield(&piece{file: f, err: err})
				return
			}
		}
		closed := sync.OnceFunc(func() { r.Close() }) // it was only read
		defer closed()
		defer context.AfterFunc(x.ctx, r.Wake)()
		if others := x.held.Load(); others > 0 && others+int64(r.Memory()) > maxMerged {
			yield(&piece{ends: errTooMany})
			return
		}
		offset, taken, outside := int64(0), uint64(0), 0
		for {
			p := &piece{file: f, memory: memories.get()}
			n, err := x.fill(r, p)
			p.err = err
			taken, outside = taken+uint64(p.entry.Packets), outside+n
			p.read = r.Offset() - offset
			offset += p.read
			ended := p.err != nil
			if isEOF(p.err) {
				p.err = nil
				for why, n := range r.Skipped() {
					x.result.Skipped[why] += n
				}
				_, statistics, ok := r.Described()
				if f.described && !ok {
					x.result.Mixed = append(x.result.Mixed, f.Name)
				}
				if ok && outside == 0 && x.Count == 0 {
					if statistics.Delivered != taken {
						statistics.Received = 0 // of which it is not known how many were filtered
					}
					x.ended = append(x.ended, statistics)
					p.chunk.AddCounts(counts(statistics))
				}
			}
			p.held = p.holds()
			if ended {
				closed()
			} else {
				p.held += r.Memory()
			}
			if p.earliest, p.latest = p.entry.Earliest, p.entry.Latest; p.chunk.Entry == (capfile.Entry{}) && p.err == nil {
				return
			}
			if !yield(p) || ended {
				return
			}
		}
	}
}

// counts is what statistics say of packets that were not recorded.
func counts(s pcapng.Statistics) *capfile.Entry {
	return &capfile.Entry{Filtered: s.Filtered(), DroppedByQueue: s.OSDropped, Dropped: s.Dropped - s.OSDropped}
}

// fill reads packets into the piece until it is full. It tells how many it has
// left out that are not of the range.
func (x *extraction) fill(r *replay.Reader, p *piece) (outside int, err error) {
	slab := p.memory.slab[:cap(p.memory.slab)]
	if len(slab) < slabBytes+maxPacketBlock {
		slab = make([]byte, slabBytes+maxPacketBlock)
	}
	at := 0
	defer func() {
		p.memory.slab = slab
		p.chunk = &capfile.Chunk{Entry: p.entry, Content: slab[:at]}
	}()
	for at < slabBytes {
		block := slab[at:]
		n, origLen, unixNano, err := r.Next(block[pcapng.PacketHeaderLen:][:maxPacket], nil)
		if err == nil && n == 0 {
			if err = r.Wait(-1); err == nil {
				err = x.ctx.Err()
			}
			if err == nil {
				continue
			}
		}
		if err != nil {
			return outside, err
		}
		if !x.has(unixNano) {
			outside++
			continue
		}
		at += pcapng.PutPacket(block, n, origLen, unixNano)
		p.entry.Add(unixNano, origLen)
	}
	return outside, nil
}

// packets goes through the packets of a file of others; their data is not
// kept.
func packets(r *replay.Reader) iter.Seq2[capfile.Packet, error] {
	return func(yield func(capfile.Packet, error) bool) {
		var head [1]byte
		for {
			n, _, unixNano, err := r.Next(head[:], nil)
			if isEOF(err) {
				return
			}
			if n == 0 && err == nil {
				err = fmt.Errorf("look at a pipe: %w", errors.ErrUnsupported)
			}
			if !yield(capfile.Packet{UnixNano: unixNano}, err) || err != nil {
				return
			}
		}
	}
}
