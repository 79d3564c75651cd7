package recorder

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/tunrec/tunrec/capfile"
)

// benchSource delivers the same packet n times, as fast as a source can: what
// is left is the recorder's own cost.
type benchSource struct {
	n, length int
	clock     bool
}

func (b *benchSource) Next([]byte, func([]byte, int) bool) (int, int, int64, error) {
	if b.n == 0 {
		return 0, 0, 0, io.EOF
	}
	b.n--
	stamp := int64(1e18)
	if b.clock {
		stamp = time.Now().UnixNano()
	}
	return b.length, b.length, stamp, nil
}

func (*benchSource) Wait(time.Duration) error     { return nil }
func (*benchSource) Wake()                        {}
func (*benchSource) Drops() (uint64, bool, error) { return 0, true, nil }
func (*benchSource) Close() error                 { return nil }

type nullSink struct{}

func (nullSink) WriteChunk(*capfile.Chunk, bool, func(*capfile.Entry)) error { return nil }
func (nullSink) Cut(Reason, time.Time) error                                 { return nil }
func (nullSink) SyncNow() error                                              { return nil }
func (nullSink) Current() Current                                            { return noCurrent }
func (nullSink) Bytes() uint64                                               { return 0 }
func (nullSink) Background() []func()                                        { return nil }
func (nullSink) Close(time.Time, uint64, capfile.Entry) error                { return nil }

// BenchmarkFill is the cost of a packet beside its read: header, padding,
// trailer, counting, and the clock where the name says so. No bytes are
// hashed or compressed but those of sealed slabs, on another thread.
func BenchmarkFill(b *testing.B) {
	for name, clock := range map[string]bool{"WithClock": true, "WithoutClock": false} {
		b.Run(name, func(b *testing.B) {
			r, err := New(Config{Source: &benchSource{n: b.N, length: 100, clock: clock}, Sink: nullSink{},
				Form: capfile.Stream, Patient: true})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := r.Run(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
