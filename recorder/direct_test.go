package recorder

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/rotate"
)

// TestDirectSeries: what went past the page cache is in the files as anything else.
func TestDirectSeries(t *testing.T) {
	for _, form := range []capfile.Form{capfile.Zstd, capfile.Plain} {
		const limit = 5 << 20
		s := newSeries(t, rotate.Policy{FileBytes: limit})
		s.config.Form, s.config.SlabBytes, s.config.Slabs = form, 1<<20, 256 // the writer is never behind
		s.files.Packet, s.files.Direct = 0, true
		noise := rand.NewChaCha8([32]byte{})
		sent := make([][]byte, 400)
		for i := range sent {
			sent[i] = make([]byte, 1000*(1+i%60))
			noise.Read(sent[i])
			binary.BigEndian.PutUint64(sent[i], uint64(i))
		}
		s.src.push(sent...)
		_, files := s.record(t)
		checkPackets(t, joinPackets(files), sent)
		for _, f := range files {
			if f.size > limit {
				t.Errorf("%s has %d bytes, the limit is %d", f.name, f.size, limit)
			}
		}
		if n := s.config.Sink.(*FileSink).direct.stage.Written; n < 8<<20 {
			t.Errorf("form %v: %d bytes of %d files went past the page cache", form, n, len(files))
		}
	}
}

// TestBehind: the sink hears of it when slabs that are ready wait for it, and when
// they no longer do.
func TestBehind(t *testing.T) {
	for _, form := range []capfile.Form{capfile.Zstd, capfile.Plain} {
		src, sink := newFakeSource(), newMemSink(t, form)
		sink.begun, sink.hold = make(chan struct{}, 100), make(chan struct{})
		const slabs = 16
		r := newRecorder(t, Config{Source: src, Sink: sink, Form: form, SlabBytes: MinSlabBytes, Slabs: slabs, Patient: true})
		wait := run(t, r, context.Background())
		src.push(numbered(0, 1500)...) // a slab and a half
		<-sink.begun
		src.push(numbered(1500, 30000)...)
		for len(r.order) < slabs/2 {
			runtime.Gosched()
		}
		src.finish(io.EOF)
		close(sink.hold)
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		if n := len(sink.behind); n < slabs || sink.behind[0] || !sink.behind[1] || sink.behind[n-1] {
			t.Errorf("form %v: behind at the chunks: %v", form, sink.behind)
		}
	}
}

// TestDirectPauses: a disk that does not keep up is spared for longer and longer.
func TestDirectPauses(t *testing.T) {
	d := direct{stage: rotate.NewStage()}
	now := time.Now()
	step := func(after time.Duration, behind, want bool) {
		t.Helper()
		now = now.Add(after)
		stage := d.next(behind, now)
		if (stage != nil) != want {
			t.Fatalf("behind: %v, past the page cache: %v", behind, !want)
		}
		if stage != nil {
			stage.Written++
		}
	}
	step(0, false, true)
	step(time.Millisecond, false, true)
	for pause := directPause; pause <= 4*maxDirectPause; pause *= 2 {
		step(time.Millisecond, true, false)
		step(time.Millisecond, true, false) // as one is behind for some time
		step(min(pause, maxDirectPause)-2*time.Millisecond, false, false)
		step(time.Millisecond, false, true)
	}
	step(maxDirectPause, false, true)
	step(time.Millisecond, true, false) // after a good time it begins anew
	step(directPause, false, true)
	d.next(false, now) // a chunk that was too short: it was not the disk
	step(time.Millisecond, true, false)
	step(time.Millisecond, false, true)
	if d := (direct{}); d.next(false, now) != nil {
		t.Error("past the page cache without being told to")
	}
}
