package load

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// noiseBytes is more than any window a capture is compressed with, so that
// noise used a second time is as incompressible as the first time.
const noiseBytes = 16 << 20

// batch is the memory of one sendmmsg(2): one message for each send, one
// vector for each message, packets end to end in data.
type batch struct {
	payloadBytes int
	segments     int
	data         []byte
	vecs         []unix.Iovec
	msgs         []unix.Mmsghdr
	noise        []byte // nil: the fill stays zero
	noiseAt      int
}

func newBatch(c Config) *batch {
	sends := 1
	if c.Segments > 1 {
		sends = sendsPerCall
	}
	b := &batch{
		payloadBytes: c.PayloadBytes,
		segments:     c.Segments,
		data:         make([]byte, sends*c.Segments*c.PayloadBytes),
		vecs:         make([]unix.Iovec, sends),
		msgs:         make([]unix.Mmsghdr, sends),
	}
	for i := range b.msgs {
		b.vecs[i].Base = &b.data[i*c.Segments*c.PayloadBytes]
		b.msgs[i].Hdr.Iov = &b.vecs[i]
		b.msgs[i].Hdr.SetIovlen(1)
	}
	if c.Random {
		b.noise = make([]byte, noiseBytes)
		rand.NewChaCha8([32]byte{}).Read(b.noise)
	}
	return b
}

// fill writes n packets from number on and returns their messages; only the
// last message may hold fewer packets than segments.
func (b *batch) fill(number uint64, n int) []unix.Mmsghdr {
	now := time.Now()
	for i := range n {
		packet := b.data[i*b.payloadBytes:][:b.payloadBytes]
		putHeader(packet, number+uint64(i), now)
		if b.noise != nil {
			b.fillNoise(packet[HeaderBytes:])
		}
	}
	sends := 0
	for left := n; left > 0; left -= b.segments {
		b.vecs[sends].SetLen(min(left, b.segments) * b.payloadBytes)
		sends++
	}
	return b.msgs[:sends]
}

func (b *batch) fillNoise(fill []byte) {
	if b.noiseAt+len(fill) > len(b.noise) {
		b.noiseAt = 0
	}
	b.noiseAt += copy(fill, b.noise[b.noiseAt:])
}
