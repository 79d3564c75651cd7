package replay

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// endian is what both binary.LittleEndian and binary.BigEndian are.
type endian interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// builder writes capture files byte by byte.
type builder struct {
	endian
	b []byte
}

func (w *builder) pcapHeader(magic uint32, linkType uint32) {
	w.b = w.AppendUint32(w.b, magic)
	w.b = w.AppendUint16(w.b, 2)
	w.b = w.AppendUint16(w.b, 4)
	w.b = append(w.b, make([]byte, 8)...)
	w.b = w.AppendUint32(w.b, 262144)
	w.b = w.AppendUint32(w.b, linkType)
}

func (w *builder) pcapRecord(seconds, fraction uint32, data []byte, origLen int) {
	w.b = w.AppendUint32(w.b, seconds)
	w.b = w.AppendUint32(w.b, fraction)
	w.b = w.AppendUint32(w.b, uint32(len(data)))
	w.b = w.AppendUint32(w.b, uint32(origLen))
	w.b = append(w.b, data...)
}

func (w *builder) block(typ uint32, body []byte) {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	n := uint32(len(body) + 12)
	w.b = w.AppendUint32(w.b, typ)
	w.b = w.AppendUint32(w.b, n)
	w.b = append(w.b, body...)
	w.b = w.AppendUint32(w.b, n)
}

func (w *builder) section() {
	body := w.AppendUint32(nil, 0x1A2B3C4D)
	body = w.AppendUint16(body, 1)
	body = w.AppendUint16(body, 0)
	w.block(0x0A0D0D0A, w.AppendUint64(body, 1<<64-1))
}

// iface describes an interface whose clock counts in 10^-resolution seconds.
func (w *builder) iface(linkType uint16, resolution byte) {
	body := w.AppendUint16(nil, linkType)
	body = w.AppendUint16(body, 0)
	body = w.AppendUint32(body, 0)
	body = w.AppendUint16(body, 9) // if_tsresol
	body = w.AppendUint16(body, 1)
	w.block(1, append(body, resolution, 0, 0, 0))
}

func (w *builder) enhanced(id uint32, timestamp uint64, data []byte, origLen int) {
	body := w.AppendUint32(nil, id)
	body = w.AppendUint32(body, uint32(timestamp>>32))
	body = w.AppendUint32(body, uint32(timestamp))
	body = w.AppendUint32(body, uint32(len(data)))
	body = w.AppendUint32(body, uint32(origLen))
	w.block(6, append(body, data...))
}

func (w *builder) simple(data []byte, origLen int) {
	w.block(3, append(w.AppendUint32(nil, uint32(origLen)), data...))
}

// ipv4 and ipv6 build UDP packets of n bytes with a correct length field.
func ipv4(n int) []byte {
	p := make([]byte, n)
	copy(p, []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 0, 10, 10, 1, 0, 20, 0x30, 0x39, 0, 9})
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	if n >= 28 {
		binary.BigEndian.PutUint16(p[24:], uint16(n-20))
	}
	return p
}

func ipv6(n int) []byte {
	p := make([]byte, n)
	copy(p, []byte{0x60, 0, 0, 0, 0, 0, 17, 64})
	p[8], p[24], p[39] = 0xfd, 0xfd, 1
	binary.BigEndian.PutUint16(p[4:], uint16(n-40))
	return p
}

func ethernet(etherType uint16, vlans []uint16, payload []byte) []byte {
	h := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, tpid := range vlans {
		h = binary.BigEndian.AppendUint16(h, tpid)
		h = binary.BigEndian.AppendUint16(h, 7)
	}
	return append(binary.BigEndian.AppendUint16(h, etherType), payload...)
}

func sll(etherType uint16, payload []byte) []byte {
	h := []byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}
	return append(binary.BigEndian.AppendUint16(h, etherType), payload...)
}

func sll2(etherType uint16, payload []byte) []byte {
	h := binary.BigEndian.AppendUint16(nil, etherType)
	h = append(h, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0)
	return append(h, payload...)
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}
