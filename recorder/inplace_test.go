package recorder

import (
	"bytes"
	"context"
	"runtime"
	"testing"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/tun"
)

// fakeRing is a fakeSource that leaves packets in its own memory, as a ring does:
// a packet that begins near the end goes on behind it.
type fakeRing struct {
	*fakeSource
	memory   []byte
	size     int // of the ring; the rest is room for the last packet of a lap
	at, held int
	back     chan struct{} // gets a token when memory is given back
	taken    int
}

func newFakeRing(size int) *fakeRing {
	return &fakeRing{fakeSource: newFakeSource(), memory: make([]byte, size+tun.MaxPacket+100), size: size, back: make(chan struct{}, 1)}
}

func (f *fakeRing) Room() int { return f.size }

func (f *fakeRing) Take() (block []byte, origLen int, unixNano int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		return nil, 0, 0, f.end
	}
	length := tun.Headroom + (len(f.queue[0])+3)&^3 + tun.Tailroom
	if f.held+length > f.size {
		return nil, 0, 0, nil // it waits; a ring would drop it
	}
	p := f.queue[0]
	f.queue = f.queue[1:]
	f.taken++
	block = f.memory[f.at:][:length]
	for i := range block { // a ring has what was there before
		block[i] = 0xaa
	}
	copy(block[tun.Headroom:], p)
	f.held += length
	if f.at += length; f.at >= f.size {
		f.at -= f.size
		block = block[:length:length]
	}
	return block, len(p), int64(1e18) + int64(f.taken), nil
}

func (f *fakeRing) GiveBack(n int) {
	f.mu.Lock()
	f.held -= n
	f.mu.Unlock()
	f.Wake()
}

// TestInPlace: packets are recorded where they stand, many times around the
// memory, and nobody uses what has been given back.
func TestInPlace(t *testing.T) {
	for _, form := range []capfile.Form{capfile.Zstd, capfile.Plain, capfile.Stream} {
		src, sink := newFakeRing(1<<20+12), newMemSink(t, form)
		r := newRecorder(t, Config{Source: src, Sink: sink, Form: form, SlabBytes: MinSlabBytes, Buffered: true})
		wait := run(t, r, t.Context())
		sent := numbered(0, 50_000) // four laps
		src.push(sent...)
		stats := finishes(t, src, sink, wait, sent)
		if src.taken != len(sent) || src.held != 0 || stats[4] != uint64(len(sent)) {
			t.Errorf("%v: %d packets taken, %d bytes not given back, %d received", form, src.taken, src.held, stats[4])
		}
	}
}

// TestInPlaceWaits blocks the sink: packets stay in the source's memory, as they
// are, until they have been written.
func TestInPlaceWaits(t *testing.T) {
	src, sink := newFakeRing(1<<20), newMemSink(t, capfile.Plain)
	sink.hold = make(chan struct{})
	r := newRecorder(t, Config{Source: src, Sink: sink, Form: capfile.Plain, SlabBytes: MaxSlabBytes, Buffered: true})
	if n := len(r.pool.free); n != 8 { // else nobody would see that they run out
		t.Errorf("%d slabs for memory that is sealed by the eighth", n)
	}
	wait := run(t, r, t.Context())
	sent := numbered(0, 30_000)
	src.push(sent...)
	for full := false; !full; {
		src.mu.Lock()
		full = src.held+200 > src.size
		src.mu.Unlock()
		runtime.Gosched()
	}
	close(sink.hold)
	finishes(t, src, sink, wait, sent)
	for i, c := range sink.chunks {
		if c.ContentLen > 1<<20/8+200 {
			t.Errorf("chunk %d has %d bytes, more than an eighth of the memory", i, c.ContentLen)
		}
	}
}

// TestNotInPlace: packets of which not all is wanted are copied.
func TestNotInPlace(t *testing.T) {
	for name, c := range map[string]Config{
		"filter":       {Buffered: true, Filter: func([]byte, int) bool { return true }},
		"snaplen":      {Buffered: true, Snaplen: 1000},
		"not buffered": {},
	} {
		src, sink := newFakeRing(1<<20), newMemSink(t, capfile.Zstd)
		c.Source, c.Sink = src, sink
		r := newRecorder(t, c)
		wait := run(t, r, t.Context())
		sent := numbered(0, 100)
		src.push(sent...)
		finishes(t, src, sink, wait, sent)
		if src.taken != 0 || src.reads != len(sent) {
			t.Errorf("%s: %d packets were taken in place, %d copied", name, src.taken, src.reads)
		}
	}
}

// TestInPlaceFlushAndStop: a slab that is sealed before it is full gives back
// what it has, and no more.
func TestInPlaceFlushAndStop(t *testing.T) {
	src, sink := newFakeRing(1<<20), newMemSink(t, capfile.Zstd)
	sink.got = make(chan capfile.Entry, 100)
	ctx, cancel := context.WithCancel(t.Context())
	r := newRecorder(t, Config{Source: src, Sink: sink, Buffered: true, FlushInterval: -1, DrainMax: 1 << 20})
	wait := run(t, r, ctx)
	sent := numbered(0, 30)
	for i, p := range sent {
		src.push(p)
		if e := <-sink.got; e.Packets != 1 {
			t.Fatalf("chunk %d has %d packets", i, e.Packets)
		}
	}
	last := numbered(30, 7)
	cancel()
	src.push(last...)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	got, _ := recorded(t, sink)
	if n := len(got); n < len(sent) || !bytes.Equal(got[len(sent)-1], sent[len(sent)-1]) {
		t.Errorf("%d packets recorded", n)
	}
	if src.held != 0 {
		t.Errorf("%d bytes were not given back", src.held)
	}
}
