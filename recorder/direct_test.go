package recorder

import (
	"encoding/binary"
	"math/rand/v2"
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
		s.config.Form, s.config.SlabBytes, s.config.Slabs = form, DefaultSlabBytes, 256 // the writer is never behind
		s.files.Slab, s.files.Packet, s.files.Direct = DefaultSlabBytes, 0, true
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
		if !s.config.Sink.(*FileSink).direct.used {
			t.Errorf("form %v: nothing went past the page cache", form)
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
		if got := d.next(behind, now) != nil; got != want {
			t.Fatalf("behind: %v, past the page cache: %v", behind, got)
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
	if d := (direct{}); d.next(false, now) != nil {
		t.Error("past the page cache without being told to")
	}
}
