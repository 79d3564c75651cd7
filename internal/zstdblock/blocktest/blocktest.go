// Package blocktest has contents to compress, and checks what became of them.
package blocktest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/pcapng"
)

// Fills are contents that try the joints: matches at the distances that the
// repeat offsets of a fresh encoder stand for, at the very start of a chunk,
// and contents that compress not at all or to nothing.
func Fills(seed uint64) map[string]func([]byte) {
	r := rand.New(rand.NewPCG(seed, 1))
	period := func(n int) func([]byte) {
		return func(b []byte) {
			for i := range b {
				if i < n {
					b[i] = byte(r.Uint32())
				} else {
					b[i] = b[i-n]
				}
			}
		}
	}
	random := func(b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	return map[string]func([]byte){
		"distance 1": period(1), "distance 4": period(4), "distance 8": period(8),
		"zero": func(b []byte) { clear(b) }, "random": random,
		"text": func(b []byte) {
			for i := range b {
				b[i] = "GET / HTTP/1.1\r\nHost: example.org\r\n"[(i+int(b[0]))%35] ^ byte(r.Uint32N(50)/49)
			}
		},
	}
}

// TunnelPackets returns n bytes of packet blocks or a little more: WireGuard
// data messages over IPv4 in that many flows, whose payload, of that length,
// comes from fill.
func TunnelPackets(r *rand.Rand, n, flows, payload int, fill func([]byte)) (blocks []byte) {
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

// Block returns a packet block.
func Block(packet []byte, unixNano int64) []byte {
	b := make([]byte, pcapng.PacketOverhead+len(packet))
	copy(b[pcapng.PacketHeaderLen:], packet)
	return b[:pcapng.PutPacket(b, len(packet), len(packet), unixNano)]
}

// Check decodes zstd blocks as the only ones of a frame with a window of
// 1 MiB, as a stream, by klauspost and where wanted by zstd.
func Check(t testing.TB, blocks, content []byte, byZstd bool) {
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

// checkZstd decodes a frame by zstd.
func checkZstd(t testing.TB, frame, content []byte) {
	t.Helper()
	cmd := exec.Command("zstd", "-dcq")
	cmd.Stdin = bytes.NewReader(frame)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("zstd decodes %d bytes, not the %d coded: %v %s", len(got), len(content), err, stderr.Bytes())
	}
}
