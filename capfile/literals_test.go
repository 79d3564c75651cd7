package capfile

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestLiteralsOfNoise: to leave literals as they are, after a chunk of noise,
// costs no room for more noise, and for the text behind it only so long.
func TestLiteralsOfNoise(t *testing.T) {
	contents := fills(9)
	chunk := func(fill string) *Chunk {
		const packetBytes = 500
		var all []byte
		for range 200 {
			blocks, _ := packets(t, packetBytes, contents[fill])
			all = append(all, blocks...)
		}
		return newChunk(all, 200)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	stored := func(z *Compressor, c *Chunk) int {
		if err := z.Compress(c, Fastest, make([]byte, 0, EncodedCap(len(c.Content)))); err != nil {
			t.Fatal(err)
		}
		frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x50}, c.encoded[MarkLen:]...) // a window of 1 MiB
		if got, err := d.DecodeAll(append(frame, 1, 0, 0), nil); err != nil || !bytes.Equal(got, c.Content) {
			t.Fatalf("the chunk does not decode: %v", err)
		}
		return len(c.encoded)
	}
	z := NewCompressor(0)
	for i := range 2*plainRun + 5 {
		c := chunk("random")
		got, fresh := stored(z, c), stored(NewCompressor(0), c)
		if got*1000 > fresh*1002 {
			t.Errorf("chunk %d of noise: %d bytes, by an encoder of its own %d", i, got, fresh)
		}
	}
	worse := 0
	for range 2*plainRun + 5 {
		c := chunk("text")
		if stored(z, c)*100 > stored(NewCompressor(0), c)*105 {
			worse++
		}
	}
	if worse == 0 || worse > plainRun {
		t.Errorf("%d chunks of text had their literals left as they are", worse)
	}
	for _, little := range []*Chunk{newChunk(packets(t, 500, contents["random"])), newChunk(packets(t, 1<<20, contents["zero"]))} {
		z := NewCompressor(0)
		stored(z, little)
		if c := chunk("text"); stored(z, c) != stored(NewCompressor(0), c) {
			t.Errorf("%d bytes with few literals decided about the next chunk", len(little.Content))
		}
	}
}
