package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/tunrec/tunrec/replay"
)

// TestReadFramesProgress: of a compressed file the progress is in its own
// bytes, not in those of its content, so that the bar ends at 100 %.
func TestReadFramesProgress(t *testing.T) {
	const packets = 2000
	le := binary.LittleEndian
	var pcap []byte
	for _, v := range []uint32{0xa1b2c3d4, 2 | 4<<16, 0, 0, 65535, 101} {
		pcap = le.AppendUint32(pcap, v)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range uint32(packets) {
		for _, v := range []uint32{i, 0, 1200, 1200} {
			pcap = le.AppendUint32(pcap, v)
		}
		pcap = append(pcap, make([]byte, 600)...)
		for range 600 {
			pcap = append(pcap, byte(rnd.Uint32()))
		}
	}
	var file bytes.Buffer
	z := gzip.NewWriter(&file)
	if _, err := z.Write(pcap); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "x.pcap.gz")
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := replay.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var places []int64
	read, err := readFrames(r, func(done int64) { places = append(places, done) })
	if err != nil || read != (framesRead{frames: packets}) {
		t.Fatal(read, err)
	}
	size := int64(file.Len())
	if len(places) < 3 || !slices.IsSorted(places) || places[0] > size/2 || places[len(places)-1] < size*3/4 || places[len(places)-1] > size {
		t.Errorf("places %d in a file of %d bytes, %d of content", places, size, len(pcap))
	}
}
