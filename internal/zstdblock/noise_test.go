package zstdblock

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/tunrec/tunrec/internal/zstdblock/blocktest"
)

const window = 1 << 20 // of all encoders here

// compressed is how many bytes of blocks the encoder makes of content, after a look at
// what they decode to.
func compressed(t *testing.T, e *Encoder, content []byte) int {
	t.Helper()
	const room = 136
	buf := make([]byte, 0, room+EncodedCap(len(content)))
	blocks, err := e.Encode(content, zstd.SpeedFastest, buf, room)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := blocks[:cap(blocks)], buf[:cap(buf)]; &got[len(got)-1] != &want[len(want)-1] {
		t.Fatalf("EncodedCap was too little for %d bytes", len(content))
	}
	blocktest.Check(t, blocks[room:], content, false)
	return len(blocks) - room
}

// TestNoiseCosts: to code chunks of noise here costs no more room than the
// library, and chunks of text behind them none at all.
func TestNoiseCosts(t *testing.T) {
	contents := blocktest.Fills(9)
	r := rand.New(rand.NewPCG(9, 9))
	chunk := func(payload int, fill string) []byte {
		return blocktest.TunnelPackets(r, 160<<10, 10, payload, contents[fill])
	}
	for _, payload := range []int{16, 100, 500, 1400, 9000} {
		t.Run(fmt.Sprint(payload), func(t *testing.T) {
			e := NewEncoder(window)
			ours := 0
			for i := range 2*trialEvery + 5 {
				content := chunk(payload, "random")
				got, library := compressed(t, e, content), compressed(t, NewEncoder(window), content)
				if got*1000 > library*1005 {
					t.Errorf("chunk %d of noise: %d bytes, by the library %d", i, got, library)
				}
				if e.noise.won && e.noise.left > 0 {
					ours++
				}
			}
			if payload >= 100 && ours != 2*trialEvery+5 {
				t.Errorf("%d chunks of noise were coded here, of %d", ours, 2*trialEvery+5)
			}
			for i := range 5 {
				content := chunk(payload, "text")
				got, library := compressed(t, e, content), compressed(t, NewEncoder(window), content)
				if got != library {
					t.Errorf("chunk %d of text behind noise: %d bytes, by the library %d", i, got, library)
				}
				if e.noise.won && !e.noise.trialDue() {
					t.Errorf("chunk %d of text behind noise did not end the run", i)
				}
			}
		})
	}
}

// TestNoiseFewLiterals: chunks with few literals decide nothing.
func TestNoiseFewLiterals(t *testing.T) {
	contents := blocktest.Fills(8)
	r := rand.New(rand.NewPCG(8, 8))
	for _, content := range [][]byte{
		blocktest.TunnelPackets(r, noiseLeast-3000, 3, 500, contents["random"]),
		blocktest.TunnelPackets(r, 1<<20, 3, 500, contents["zero"]),
	} {
		e := NewEncoder(window)
		compressed(t, e, content)
		if !e.noise.trialDue() {
			t.Errorf("%d bytes with few literals were a trial", len(content))
		}
	}
}

// TestNoiseWithOtherHeaders: where packets save less than in the trial there is
// another one.
func TestNoiseWithOtherHeaders(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	random := blocktest.Fills(6)["random"]
	e := NewEncoder(window)
	for range 3 {
		compressed(t, e, blocktest.TunnelPackets(r, 512<<10, 10, 56, random))
	}
	if e.noise.left != trialEvery-2 || !e.noise.won {
		t.Fatalf("%d chunks to the next trial: not in a run", e.noise.left)
	}
	var other []byte
	for len(other) < 512<<10 {
		packet := make([]byte, 100)
		random(packet)
		other = append(other, blocktest.Block(packet, r.Int64())...)
	}
	compressed(t, e, other)
	if e.noise.left != trialEvery && e.noise.left != 0 {
		t.Errorf("%d chunks to the next trial after packets with headers of noise", e.noise.left)
	}
}

// TestNoiseThatRepeats: payload that comes again is for the library to find,
// and PacketCoder, which looks at headers, is not tried again for each chunk.
func TestNoiseThatRepeats(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	pieces := make([]byte, 100<<10)
	rand.NewChaCha8([32]byte{}).Read(pieces)
	e := NewEncoder(window)
	for i := range trialEvery + 2 {
		content := blocktest.TunnelPackets(r, 256<<10, 3, 1000, func(b []byte) { copy(b, pieces[r.IntN(100)<<10:]) })
		got, library := compressed(t, e, content), compressed(t, NewEncoder(window), content)
		if got != library || e.noise.won {
			t.Fatalf("chunk %d: %d bytes, by the library %d", i, got, library)
		}
		if want := trialEvery - i%trialEvery; e.noise.left != want {
			t.Fatalf("chunk %d: %d until the next trial, not %d", i, e.noise.left, want)
		}
	}
}

// BenchmarkNoise compares a PacketCoder with the library's encoder, with and
// without entropy coding of literals.
func BenchmarkNoise(b *testing.B) {
	encoder := func(options ...zstd.EOption) *zstd.Encoder {
		e, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20),
			zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))...)
		if err != nil {
			b.Fatal(err)
		}
		return e
	}
	entropy, plain := encoder(), encoder(zstd.WithNoEntropyCompression(true))
	p := PacketCoder{windowBytes: 1 << 20}
	r := rand.New(rand.NewPCG(1, 1))
	for _, payload := range []int{100, 1400} {
		content := blocktest.TunnelPackets(r, 1<<20, 20, payload, blocktest.Fills(1)["random"])
		buf := make([]byte, 0, EncodedCap(len(content)))
		for _, coder := range []struct {
			name   string
			encode func() []byte
		}{
			{"entropy", func() []byte { return entropy.EncodeAll(content, buf) }},
			{"plain", func() []byte { return plain.EncodeAll(content, buf) }},
			{"packets", func() []byte { coded, _ := p.Append(buf, content); return coded }},
		} {
			b.Run(fmt.Sprintf("%d/%s", payload, coder.name), func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				b.ReportAllocs()
				for b.Loop() {
					coder.encode()
				}
				b.ReportMetric(100*float64(len(coder.encode()))/float64(len(content)), "%size")
			})
		}
	}
}

// BenchmarkNoiseChunks is what all of it costs, trials included.
func BenchmarkNoiseChunks(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, payload := range []int{100, 1400} {
		e := NewEncoder(window)
		content := blocktest.TunnelPackets(r, 1<<20, 20, payload, blocktest.Fills(1)["random"])
		buf := make([]byte, 0, EncodedCap(len(content)))
		b.Run(fmt.Sprint(payload), func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Encode(content, zstd.SpeedFastest, buf, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
