package recorder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
)

// fakeSource is a device whose queue the test fills. It keeps Ingest's contract.
type fakeSource struct {
	mu    sync.Mutex
	queue [][]byte
	end   error // after the queue
	drops uint64
	reads int

	stamps    []int64 // of the packets in turn, where set
	wallClock bool    // the packets are stamped when they are read
	gateAt    int     // after so many packets Next gives a token to gate, and waits for one
	gate      chan struct{}

	wake chan struct{}
	idle chan struct{} // gets a token each time the reader waits
}

func newFakeSource() *fakeSource {
	return &fakeSource{wake: make(chan struct{}, 1), idle: make(chan struct{}, 1)}
}

func (f *fakeSource) push(packets ...[]byte) {
	f.mu.Lock()
	f.queue = append(f.queue, packets...)
	f.mu.Unlock()
	f.Wake()
}

func (f *fakeSource) finish(err error) {
	f.mu.Lock()
	f.end = err
	f.mu.Unlock()
	f.Wake()
}

func (f *fakeSource) Next(dst []byte, keep func([]byte, int) bool) (n, origLen int, unixNano int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		return 0, 0, 0, f.end
	}
	if f.reads == f.gateAt && f.gate != nil {
		f.gate <- struct{}{}
		<-f.gate
	}
	p := f.queue[0]
	f.queue = f.queue[1:]
	f.reads++
	stamp := int64(1e18) + int64(f.reads)
	if f.stamps != nil {
		stamp = f.stamps[f.reads-1]
	} else if f.wallClock {
		stamp = time.Now().UnixNano()
	}
	if keep != nil && !keep(p, len(p)) {
		return 0, len(p), stamp, nil
	}
	return copy(dst, p), len(p), stamp, nil
}

func (f *fakeSource) Wait(timeout time.Duration) error {
	var after <-chan time.Time
	if timeout >= 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		after = t.C
	}
	select {
	case f.idle <- struct{}{}:
	default:
	}
	select {
	case <-f.wake:
	case <-after:
	}
	return nil
}

func (f *fakeSource) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fakeSource) Drops() (uint64, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.drops, true, nil
}

func (f *fakeSource) Close() error { return nil }

// memSink is a Sink in memory, through a real capfile.Writer.
type memSink struct {
	*capfile.Writer
	bytes.Buffer
	got    chan capfile.Entry // gets every chunk's entry, where set
	begun  chan struct{}      // gets a token when WriteChunk begins, where set
	hold   chan struct{}      // WriteChunk waits for a token, where set
	fail   error              // WriteChunk fails with it, after failAt chunks
	failAt int
	chunks []capfile.Entry
	behind []bool
	closes int
}

func newMemSink(t testing.TB, form capfile.Form) *memSink {
	t.Helper()
	s := &memSink{}
	w, err := capfile.NewWriter(memFile{&s.Buffer}, capfile.Config{Form: form})
	if err != nil {
		t.Fatal(err)
	}
	s.Writer = w
	return s
}

type memFile struct{ *bytes.Buffer }

func (m memFile) Truncate(n int64) error { m.Buffer.Truncate(int(n)); return nil }

func (s *memSink) WriteChunk(c *capfile.Chunk, behind bool, wrote func(*capfile.Entry)) error {
	if s.begun != nil {
		s.begun <- struct{}{}
	}
	if s.hold != nil {
		<-s.hold
	}
	if s.fail != nil && len(s.chunks) >= s.failAt {
		return s.fail
	}
	if err := s.Writer.WriteChunk(c); err != nil {
		return err
	}
	wrote(&c.Entry)
	s.chunks, s.behind = append(s.chunks, c.Entry), append(s.behind, behind)
	if s.got != nil {
		s.got <- c.Entry
	}
	return nil
}

func (s *memSink) Close(_ time.Time, lost uint64, counts capfile.Entry) error {
	s.closes++
	return s.Writer.Close(capfile.End{Lost: lost, Counts: counts})
}

func (s *memSink) Cut(Reason, time.Time) error { return nil }
func (s *memSink) SyncNow() error              { return nil }
func (s *memSink) Current() Current            { return noCurrent }
func (s *memSink) Bytes() uint64               { return 0 }
func (s *memSink) Background() []func()        { return nil }

// numbered returns packets that carry their number, of lengths that straddle
// every padding.
func numbered(from, n int) [][]byte {
	var out [][]byte
	for i := from; i < from+n; i++ {
		p := make([]byte, 8+i%97)
		binary.BigEndian.PutUint64(p, uint64(i))
		for j := 8; j < len(p); j++ {
			p[j] = byte(i + j)
		}
		out = append(out, p)
	}
	return out
}

// recorded returns the packets in a zstd or plain file, and its statistics.
func recorded(t *testing.T, s *memSink) (packets [][]byte, stats map[uint16]uint64) {
	t.Helper()
	b := s.Buffer.Bytes()
	if d, err := zstd.NewReader(nil); err != nil {
		t.Fatal(err)
	} else if b[0] == 0x28 {
		defer d.Close()
		if b, err = d.DecodeAll(b, nil); err != nil {
			t.Fatal(err)
		}
	}
	le := binary.LittleEndian
	for len(b) > 0 {
		total := le.Uint32(b[4:])
		if le.Uint32(b[total-4:]) != total {
			t.Fatalf("a block's lengths are %d and %d", total, le.Uint32(b[total-4:]))
		}
		switch le.Uint32(b) {
		case pcapng.BlockEnhancedPacket:
			n := le.Uint32(b[20:])
			packets = append(packets, b[28:28+n])
			for _, pad := range b[28+n : total-4] {
				if pad != 0 {
					t.Fatalf("padding of packet %d is %#x", len(packets), pad)
				}
			}
		case pcapng.BlockInterfaceStatistics:
			stats = map[uint16]uint64{}
			for o := b[20 : total-4]; le.Uint16(o) != 0; o = o[4+le.Uint16(o[2:]):] {
				stats[le.Uint16(o)] = le.Uint64(o[4:])
			}
		}
		b = b[total:]
	}
	return packets, stats
}

func newRecorder(t testing.TB, c Config) *Recorder {
	t.Helper()
	if c.Method == capfile.Stored && c.Form == capfile.Zstd {
		c.Method = capfile.Fastest
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.pool.poison = true
	return r
}

// run starts Run and returns a function that waits for it.
func run(t testing.TB, r *Recorder, ctx context.Context) (wait func() error) {
	t.Helper()
	before := runtime.NumGoroutine()
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	return func() error {
		err := <-done
		for runtime.NumGoroutine() > before { // those that have ended go in a moment
			runtime.Gosched()
		}
		return err
	}
}

func checkPackets(t *testing.T, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets are in the file, %d were sent", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("packet %d differs:\ngot  %x\nwant %x", i, got[i], want[i])
		}
	}
}

func TestEveryPacketOnceInOrder(t *testing.T) {
	for _, c := range []Config{
		{Form: capfile.Zstd, SlabBytes: MinSlabBytes, Slabs: MinSlabs, Workers: 4},
		{Form: capfile.Zstd, Method: capfile.Better, Workers: 2},
		{Form: capfile.Plain, SlabBytes: MinSlabBytes, Workers: 3},
		{Form: capfile.Stream, SlabBytes: MinSlabBytes, FlushInterval: -1},
	} {
		t.Run(c.Form.String(), func(t *testing.T) {
			src, sink := newFakeSource(), newMemSink(t, c.Form)
			c.Source, c.Sink, c.Patient = src, sink, true
			want := numbered(0, 50000)
			src.push(want...)
			src.finish(io.EOF)
			r := newRecorder(t, c)
			if err := run(t, r, context.Background())(); err != nil {
				t.Fatal(err)
			}
			got, stats := recorded(t, sink)
			checkPackets(t, got, want)
			if s := r.Stats(); s.Received != 50000 || s.Recorded != 50000 || s.Lost() != 0 || stats[8] != 50000 {
				t.Fatalf("counts %+v, in the file %v", s, stats)
			}
			if sink.closes != 1 {
				t.Fatalf("sink was closed %d times", sink.closes)
			}
		})
	}
}

func TestFlushIntervalMakesReadable(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	sink.got = make(chan capfile.Entry)
	ctx, cancel := context.WithCancel(context.Background())
	wait := run(t, newRecorder(t, Config{Source: src, Sink: sink, FlushInterval: time.Millisecond}), ctx)
	src.push(numbered(0, 3)...)
	var n uint32
	for n < 3 {
		n += (<-sink.got).Packets // although nothing more comes, nor a stop
	}
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

func TestFlushOnRequest(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	sink.got = make(chan capfile.Entry, 1)
	ctx, cancel := context.WithCancel(context.Background())
	r := newRecorder(t, Config{Source: src, Sink: sink, FlushInterval: time.Hour})
	wait := run(t, r, ctx)
	src.push(numbered(0, 1)...)
	for {
		r.Flush()
		<-src.idle
		if r.Stats().Received == 1 {
			r.Flush()
			break
		}
	}
	if e := <-sink.got; e.Packets != 1 {
		t.Fatalf("flushed chunk has %d packets", e.Packets)
	}
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

// TestFlushHasWhatWaited: packets that the source had when a flush was asked for
// are flushed, although they have yet to be read.
func TestFlushHasWhatWaited(t *testing.T) {
	const packets = 100
	for drain, want := range map[int]uint32{packets: packets, packets / 2: 1 + packets/2 + 1, 0: 1 + 1} {
		src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
		src.gate, src.gateAt, sink.got = make(chan struct{}), 1, make(chan capfile.Entry, 10)
		r := newRecorder(t, Config{Source: src, Sink: sink, FlushInterval: time.Hour, DrainMax: drain})
		ctx, cancel := context.WithCancel(context.Background())
		wait := run(t, r, ctx)
		src.push(numbered(0, packets)...)
		<-src.gate // the reader asks for the second packet
		r.Flush()
		src.gate <- struct{}{}
		if e := <-sink.got; e.Packets != want {
			t.Errorf("flushed chunk has %d packets, not %d, where the source holds %d", e.Packets, want, drain)
		}
		cancel()
		if err := wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPing: the reader answers while it waits for packets, and does not where
// it is stuck.
func TestPing(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	ctx, cancel := context.WithCancel(context.Background())
	r := newRecorder(t, Config{Source: src, Sink: sink})
	if !r.Ping() || r.Ping() {
		t.Fatal("a reader that does not run has answered the second call")
	}
	wait := run(t, r, ctx)
	for !r.Ping() {
		<-src.idle
	}
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

func TestStopDrainsTheDevice(t *testing.T) {
	for _, drain := range []int{0, 1, 999, 1000, 5000} {
		src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
		sent := numbered(0, 1000)
		src.push(sent...)
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // before the first read
		r := newRecorder(t, Config{Source: src, Sink: sink, DrainMax: drain})
		r.stop() // the context tells it from a goroutine of its own
		if err := run(t, r, ctx)(); err != nil {
			t.Fatal(err)
		}
		got, _ := recorded(t, sink)
		checkPackets(t, got, sent[:min(drain, 1000)])
	}
}

func TestCountIsExact(t *testing.T) {
	for _, count := range []uint64{1, 2, 4999, 5000} {
		src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
		sent := numbered(0, 5000)
		src.push(sent...)
		r := newRecorder(t, Config{Source: src, Sink: sink, Count: count, SlabBytes: MinSlabBytes, Patient: true})
		if err := run(t, r, context.Background())(); err != nil {
			t.Fatal(err)
		}
		got, _ := recorded(t, sink)
		checkPackets(t, got, sent[:count])
	}
}

func TestSnaplenKeepsOriginalLength(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	sent := numbered(0, 300)
	src.push(sent...)
	src.finish(io.EOF)
	r := newRecorder(t, Config{Source: src, Sink: sink, Snaplen: 20, Patient: true})
	if err := run(t, r, context.Background())(); err != nil {
		t.Fatal(err)
	}
	got, _ := recorded(t, sink)
	var cut, original uint64
	for i, p := range sent {
		original += uint64(len(p))
		if len(p) > 20 {
			cut++
			sent[i] = p[:20]
		}
	}
	checkPackets(t, got, sent)
	if s := r.Stats(); s.Truncated != cut || s.OriginalBytes != original {
		t.Fatalf("%d cut and %d original bytes counted, want %d and %d", s.Truncated, s.OriginalBytes, cut, original)
	}
}

// TestFilterReusesRoom: from the first packet on, which is rejected.
func TestFilterReusesRoom(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	sent := numbered(0, 3000)
	src.push(sent...)
	src.finish(io.EOF)
	even := func(p []byte, origLen int) bool { return p[7]&1 == 1 && origLen == len(p) }
	r := newRecorder(t, Config{Source: src, Sink: sink, Filter: even, Patient: true})
	if err := run(t, r, context.Background())(); err != nil {
		t.Fatal(err)
	}
	got, stats := recorded(t, sink)
	var want [][]byte
	for _, p := range sent {
		if even(p, len(p)) {
			want = append(want, p)
		}
	}
	checkPackets(t, got, want)
	if s := r.Stats(); s.Filtered != 1500 || s.Received != 3000 || s.Recorded != 1500 {
		t.Fatalf("counts: %+v", s)
	}
	if stats[4] != 3000 || stats[6] != 1500 || stats[8] != 1500 {
		t.Fatalf("statistics block: received %d, accepted %d, delivered %d", stats[4], stats[6], stats[8])
	}
}

// finishes ends the source, and with it the recording, which has to hold the
// packets that were sent. It returns the statistics.
func finishes(t *testing.T, src interface{ finish(error) }, sink *memSink, wait func() error, sent [][]byte) map[uint16]uint64 {
	t.Helper()
	src.finish(io.EOF)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	got, stats := recorded(t, sink)
	checkPackets(t, got, sent)
	return stats
}

// TestBufferedSourceKeepsPackets blocks the sink until the slabs are used up:
// packets wait in the source then, and the reader goes on to answer.
func TestBufferedSourceKeepsPackets(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	sink.hold = make(chan struct{})
	r := newRecorder(t, Config{Source: src, Sink: sink, SlabBytes: MinSlabBytes, Slabs: MinSlabs, Buffered: true})
	wait := run(t, r, t.Context())
	sent := numbered(0, 20000) // some 1.7 MB of blocks: far more than the slabs hold
	src.push(sent...)
	for len(r.pool.free) > 0 {
		runtime.Gosched()
	}
	for r.Ping(); !r.Ping(); {
		runtime.Gosched()
	}
	if read := r.Stats().Received; read == 0 || read > uint64(r.Slabs*2*r.SlabBytes/len(sent[0])) {
		t.Errorf("%d packets were read into %d slabs", read, r.Slabs)
	}
	close(sink.hold)
	finishes(t, src, sink, wait, sent)
}

// TestStopSettles: what the source is given while it settles is recorded.
func TestStopSettles(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	sent := numbered(0, 10)
	ctx, cancel := context.WithCancel(t.Context())
	r := newRecorder(t, Config{Source: src, Sink: sink, DrainMax: 1 << 20, Settle: func(time.Duration) error {
		src.push(sent...)
		return nil
	}})
	wait := run(t, r, ctx)
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	got, _ := recorded(t, sink)
	checkPackets(t, got, sent)
}

// TestNoSlabIsCounted blocks the sink until the slabs are used up: what is
// thrown away then is counted, and the file says between which packets.
func TestNoSlabIsCounted(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	sink.hold = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	r := newRecorder(t, Config{Source: src, Sink: sink, SlabBytes: MinSlabBytes, Slabs: MinSlabs,
		FlushInterval: time.Hour, DrainMax: 1 << 20})
	wait := run(t, r, ctx)
	sent := numbered(0, 20000) // some 1.7 MB of blocks: far more than the slabs hold
	src.push(sent...)
	for r.Stats().Received < 20000 {
		<-src.idle
	}
	src.drops = 7 // the reader sits in Wait or is about to
	close(sink.hold)
	more := numbered(20000, 100)
	src.push(more...)
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	got, stats := recorded(t, sink)
	s := r.Stats()
	if s.DroppedNoSlab == 0 || s.Received != 20100+7 || s.Received != s.Recorded+s.Lost() {
		t.Fatalf("counts do not add up: %+v", s)
	}
	if stats[4] != 20107 || stats[5] != s.DroppedNoSlab+7 || stats[7] != 7 || stats[8] != s.Recorded {
		t.Fatalf("statistics block: %v, counts %+v", stats, s)
	}
	// Each chunk says how many packets are missing before it.
	var kept, missing uint64
	for _, e := range sink.chunks {
		missing += e.Dropped
		if e.Packets > 0 {
			if first := binary.BigEndian.Uint64(got[kept]); first < kept+missing-e.Dropped || first > kept+missing {
				t.Fatalf("chunk after %d kept and %d missing packets begins with packet %d", kept, missing, first)
			}
		}
		kept += uint64(e.Packets)
	}
	if missing != s.DroppedNoSlab || kept != uint64(len(got)) {
		t.Fatalf("chunks say %d kept and %d missing, counts %+v", kept, missing, s)
	}
	if !slices.IsSortedFunc(got, func(a, b []byte) int { return bytes.Compare(a[:8], b[:8]) }) {
		t.Fatal("packets are out of order")
	}
}

func TestWriteErrorIsCounted(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	full := errors.New("no space left")
	sink.fail, sink.failAt = full, 2
	src.push(numbered(0, 20000)...)
	r := newRecorder(t, Config{Source: src, Sink: sink, SlabBytes: MinSlabBytes, DrainMax: 1 << 20, Patient: true})
	err := run(t, r, context.Background())()
	if !errors.Is(err, full) {
		t.Fatalf("error is %v", err)
	}
	s := r.Stats()
	got, stats := recorded(t, sink)
	if s.Received != 20000 || s.DroppedByWrite == 0 || s.Received != s.Recorded+s.DroppedByWrite || uint64(len(got)) != s.Recorded {
		t.Fatalf("counts do not add up, %d packets in the file: %+v", len(got), s)
	}
	if stats[5] != s.DroppedByWrite {
		t.Fatalf("the file says %d dropped, lost were %d", stats[5], s.DroppedByWrite)
	}
}

func TestSourceErrorKeepsWhatCame(t *testing.T) {
	src, sink := newFakeSource(), newMemSink(t, capfile.Zstd)
	gone := errors.New("device is gone")
	sent := numbered(0, 10)
	src.push(sent...)
	src.finish(gone)
	err := run(t, newRecorder(t, Config{Source: src, Sink: sink}), context.Background())()
	if !errors.Is(err, gone) {
		t.Fatalf("error is %v", err)
	}
	got, _ := recorded(t, sink)
	checkPackets(t, got, sent)
}

// TestStepDown asks how the next slab is compressed as slabs pile up.
func TestStepDown(t *testing.T) {
	r := newRecorder(t, Config{Source: newFakeSource(), Sink: newMemSink(t, capfile.Zstd), Method: capfile.Best, Slabs: 8})
	want := []capfile.Method{4, 4, 4, 4, 1, 1, 0, 0, 0} // best, fastest from 1/2 on, stored from 3/4 on
	for waiting, m := range want {
		if got := r.method(); got != m {
			t.Errorf("with %d of 8 slabs waiting the method is %v, want %v", waiting, got, m)
		}
		if waiting < 8 {
			r.work <- nil
		}
	}
	r.unwritten.Store(spareBuffers)
	if got := r.method(); got != capfile.Best {
		t.Errorf("with the disk behind the method is %v, want best", got)
	}
}

func TestValidate(t *testing.T) {
	good := Config{Source: newFakeSource(), Sink: newMemSink(t, capfile.Zstd)}
	for name, spoil := range map[string]func(*Config){
		"slab size of 1: has to be 65536 to 8388608":        func(c *Config) { c.SlabBytes = 1 },
		"number of slabs of 3: has to be 4 to 4096":         func(c *Config) { c.Slabs = 3 },
		"number of workers of 65: has to be 1 to 64":        func(c *Config) { c.Workers = 65 },
		"snaplen of -1: has to be 1 to 262144":              func(c *Config) { c.Snaplen = -1 },
		"a recorder needs a source and a sink":              func(c *Config) { c.Sink = nil },
		"packets to drain of -1: has to be 0 to 1073741824": func(c *Config) { c.DrainMax = -1 },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || err.Error() != name {
			t.Errorf("error is %v, want %s", err, name)
		}
	}
}
