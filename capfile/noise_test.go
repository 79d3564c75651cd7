package capfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/tunrec/tunrec/pcapng"
)

// tunnelPackets returns n bytes of packet blocks or a little more: WireGuard
// data messages over IPv4 in that many flows, whose payload, of that length,
// comes from fill.
func tunnelPackets(r *rand.Rand, n, flows, payload int, fill func([]byte)) (blocks []byte) {
	be, le := binary.BigEndian, binary.LittleEndian
	sent := make([]uint16, flows)
	unixNano := int64(1.7e18)
	for len(blocks) < n {
		flow := uint16(r.IntN(flows))
		sent[flow]++
		size := 28 + 16 + payload
		b := make([]byte, pcapng.PacketOverhead+size)
		p := b[pcapng.PacketHeaderLen:][:size]
		copy(p, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1, 0, 0, 0xca, 0x6c})
		be.PutUint16(p[2:], uint16(size))
		be.PutUint16(p[4:], sent[flow])
		be.PutUint16(p[10:], ^sent[flow])
		be.PutUint16(p[18:], flow>>8)
		be.PutUint16(p[20:], flow)
		be.PutUint16(p[24:], uint16(size-20))
		le.PutUint16(p[26:], uint16(r.Uint32()))
		le.PutUint32(p[28:], 4)
		le.PutUint32(p[32:], uint32(flow)*0x9e3779b1)
		le.PutUint64(p[36:], uint64(sent[flow]))
		fill(p[44:])
		unixNano += int64(r.IntN(5000)) + 100
		blocks = append(blocks, b[:pcapng.PutPacket(b, size, size, unixNano)]...)
	}
	return blocks
}

// compressed is the length of the chunk by that compressor, after a look at
// what it decodes to.
func compressed(t *testing.T, z *Compressor, content []byte) int {
	t.Helper()
	c := newChunk(content, 1)
	buf := make([]byte, 0, EncodedCap(len(content)))
	if err := z.Compress(c, Fastest, buf); err != nil {
		t.Fatal(err)
	}
	if got, want := c.encoded[:cap(c.encoded)], buf[:cap(buf)]; &got[len(got)-1] != &want[len(want)-1] {
		t.Fatalf("EncodedCap was too little for %d bytes", len(content))
	}
	checkCoded(t, c.encoded[MarkLen:], content, false)
	return len(c.encoded)
}

// TestNoiseCosts: to code chunks of noise here costs no more room than the
// library, and chunks of text behind them none at all.
func TestNoiseCosts(t *testing.T) {
	contents := fills(9)
	r := rand.New(rand.NewPCG(9, 9))
	chunk := func(payload int, fill string) []byte {
		return tunnelPackets(r, 160<<10, 10, payload, contents[fill])
	}
	for _, payload := range []int{16, 100, 500, 1400, 9000} {
		t.Run(fmt.Sprint(payload), func(t *testing.T) {
			z := NewCompressor(0)
			ours := 0
			for i := range 2*trialEvery + 5 {
				content := chunk(payload, "random")
				got, library := compressed(t, z, content), compressed(t, NewCompressor(0), content)
				if got*1000 > library*1005 {
					t.Errorf("chunk %d of noise: %d bytes, by the library %d", i, got, library)
				}
				if z.noise.won && z.noise.left > 0 {
					ours++
				}
			}
			if payload >= 100 && ours != 2*trialEvery+5 {
				t.Errorf("%d chunks of noise were coded here, of %d", ours, 2*trialEvery+5)
			}
			for i := range 5 {
				content := chunk(payload, "text")
				got, library := compressed(t, z, content), compressed(t, NewCompressor(0), content)
				if got != library {
					t.Errorf("chunk %d of text behind noise: %d bytes, by the library %d", i, got, library)
				}
				if z.noise.won && !z.noise.trialDue() {
					t.Errorf("chunk %d of text behind noise did not end the run", i)
				}
			}
		})
	}
}

// TestNoiseFewLiterals: chunks with few literals decide nothing.
func TestNoiseFewLiterals(t *testing.T) {
	contents := fills(8)
	r := rand.New(rand.NewPCG(8, 8))
	for _, content := range [][]byte{
		tunnelPackets(r, noiseLeast-3000, 3, 500, contents["random"]),
		tunnelPackets(r, 1<<20, 3, 500, contents["zero"]),
	} {
		z := NewCompressor(0)
		compressed(t, z, content)
		if !z.noise.trialDue() {
			t.Errorf("%d bytes with few literals were a trial", len(content))
		}
	}
}

// TestNoiseWithOtherHeaders: where packets save less than in the trial there is
// another one.
func TestNoiseWithOtherHeaders(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	random := fills(6)["random"]
	z := NewCompressor(0)
	for range 3 {
		compressed(t, z, tunnelPackets(r, 512<<10, 10, 56, random))
	}
	if z.noise.left != trialEvery-2 || !z.noise.won {
		t.Fatalf("%d chunks to the next trial: not in a run", z.noise.left)
	}
	var other []byte
	for len(other) < 512<<10 {
		packet := make([]byte, 100)
		random(packet)
		other = append(other, block(packet, r.Int64())...)
	}
	compressed(t, z, other)
	if z.noise.left != trialEvery && z.noise.left != 0 {
		t.Errorf("%d chunks to the next trial after packets with headers of noise", z.noise.left)
	}
}

// TestNoiseThatRepeats: payload that comes again is for the library to find,
// and packetCoder, which looks at headers, is not tried again for each chunk.
func TestNoiseThatRepeats(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	pieces := make([]byte, 100<<10)
	rand.NewChaCha8([32]byte{}).Read(pieces)
	z := NewCompressor(0)
	for i := range trialEvery + 2 {
		content := tunnelPackets(r, 256<<10, 3, 1000, func(b []byte) { copy(b, pieces[r.IntN(100)<<10:]) })
		got, library := compressed(t, z, content), compressed(t, NewCompressor(0), content)
		if got != library || z.noise.won {
			t.Fatalf("chunk %d: %d bytes, by the library %d", i, got, library)
		}
		if want := trialEvery - i%trialEvery; z.noise.left != want {
			t.Fatalf("chunk %d: %d until the next trial, not %d", i, z.noise.left, want)
		}
	}
}

// BenchmarkNoise compares a packetCoder with the library's encoder, with and
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
	p := packetCoder{windowBytes: 1 << 20}
	r := rand.New(rand.NewPCG(1, 1))
	for _, payload := range []int{100, 1400} {
		content := tunnelPackets(r, 1<<20, 20, payload, fills(1)["random"])
		buf := make([]byte, 0, EncodedCap(len(content)))
		for _, coder := range []struct {
			name   string
			encode func() []byte
		}{
			{"entropy", func() []byte { return entropy.EncodeAll(content, buf) }},
			{"plain", func() []byte { return plain.EncodeAll(content, buf) }},
			{"packets", func() []byte { coded, _ := p.append(buf, content); return coded }},
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

// checkCoded decodes zstd blocks as the only ones of a frame with a window of
// 1 MiB, as a stream, by klauspost and where wanted by zstd.
func checkCoded(t testing.TB, blocks, content []byte, byZstd bool) {
	t.Helper()
	frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x50}, blocks...)
	frame = append(frame, 1, 0, 0)
	d, err := zstd.NewReader(bytes.NewReader(frame), zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(d); err != nil || !bytes.Equal(got.Bytes(), content) {
		t.Fatalf("klauspost decodes %d bytes, not the %d coded: %v", got.Len(), len(content), err)
	}
	if byZstd {
		checkZstd(t, frame, content)
	}
}

// BenchmarkNoiseChunks is what all of it costs, trials included.
func BenchmarkNoiseChunks(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, payload := range []int{100, 1400} {
		z := NewCompressor(0)
		c := newChunk(tunnelPackets(r, 1<<20, 20, payload, fills(1)["random"]), 1)
		buf := make([]byte, 0, EncodedCap(len(c.Content)))
		b.Run(fmt.Sprint(payload), func(b *testing.B) {
			b.SetBytes(int64(len(c.Content)))
			b.ReportAllocs()
			for b.Loop() {
				if err := z.Compress(c, Fastest, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
