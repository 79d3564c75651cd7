package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

// FuzzDecompress reads any file through to its end, across damage, and never gets more
// out of it than its form can hold.
func FuzzDecompress(f *testing.F) {
	file, _, _ := sample("pcapng", binary.LittleEndian, 3)
	for _, b := range [][]byte{file, gzipped(f, file), zstded(f, file), append(zstded(f, file), zstded(f, file)...)} {
		f.Add(b)
		f.Add(b[:len(b)*2/3])
		broken := bytes.Clone(b)
		broken[len(b)/2] ^= 0x10
		f.Add(broken)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := Decompress(bytes.NewReader(file), "fuzz")
		var d *DamageError
		if err != nil {
			if err != io.EOF && !errors.As(err, &d) {
				t.Fatalf("neither end nor damage: %v", err)
			}
			return
		}
		defer c.Close()
		const most = 16 << 20
		for resumed, n := 0, int64(0); n < most; resumed++ {
			got, err := io.Copy(io.Discard, io.LimitReader(c, most-n))
			n += got
			if err == nil {
				return
			}
			if !errors.As(err, &d) {
				t.Fatalf("neither end nor damage: %v", err)
			}
			if !c.Resume() {
				return
			}
			if resumed > len(file) {
				t.Fatalf("it goes on more often than the file has bytes")
			}
		}
	})
}
