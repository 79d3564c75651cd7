package pcapng

import "encoding/binary"

// endian is what both binary.LittleEndian and binary.BigEndian are.
type endian interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// scanBuilder builds pcapng byte by byte, apart from the package's encoder, so
// that a mistake in one is not hidden by the same mistake in the other.
type scanBuilder struct {
	endian
	b []byte
}

func (w *scanBuilder) block(typ uint32, body []byte) {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	n := uint32(len(body) + 12)
	w.b = w.AppendUint32(w.b, typ)
	w.b = w.AppendUint32(w.b, n)
	w.b = append(w.b, body...)
	w.b = w.AppendUint32(w.b, n)
}

func (w *scanBuilder) option(code uint16, value []byte) []byte {
	o := w.AppendUint16(nil, code)
	o = w.AppendUint16(o, uint16(len(value)))
	o = append(o, value...)
	for len(o)%4 != 0 {
		o = append(o, 0)
	}
	return o
}

func (w *scanBuilder) section(options ...[]byte) {
	body := w.AppendUint32(nil, 0x1A2B3C4D)
	body = w.AppendUint16(body, 1)
	body = w.AppendUint16(body, 0)
	body = w.AppendUint64(body, 1<<64-1)
	w.block(0x0A0D0D0A, join(body, options))
}

func (w *scanBuilder) iface(linkType uint16, snaplen uint32, options ...[]byte) {
	body := w.AppendUint16(nil, linkType)
	body = w.AppendUint16(body, 0)
	body = w.AppendUint32(body, snaplen)
	w.block(1, join(body, options))
}

func (w *scanBuilder) enhanced(id uint32, ts uint64, data []byte, origLen uint32, options ...[]byte) {
	w.block(6, w.packetBody(w.AppendUint32(nil, id), ts, data, origLen, options))
}

func (w *scanBuilder) obsolete(id uint16, ts uint64, data []byte, origLen uint32, options ...[]byte) {
	body := w.AppendUint16(nil, id)
	body = w.AppendUint16(body, 0xffff) // drops unknown
	w.block(2, w.packetBody(body, ts, data, origLen, options))
}

func (w *scanBuilder) packetBody(body []byte, ts uint64, data []byte, origLen uint32, options [][]byte) []byte {
	body = w.AppendUint32(body, uint32(ts>>32))
	body = w.AppendUint32(body, uint32(ts))
	body = w.AppendUint32(body, uint32(len(data)))
	body = w.AppendUint32(body, origLen)
	body = append(body, data...)
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	return join(body, options)
}

func (w *scanBuilder) simple(data []byte, origLen uint32) {
	w.block(3, append(w.AppendUint32(nil, origLen), data...))
}

func (w *scanBuilder) statistics(id uint32, ts uint64, options ...[]byte) {
	body := w.AppendUint32(nil, id)
	body = w.AppendUint32(body, uint32(ts>>32))
	body = w.AppendUint32(body, uint32(ts))
	w.block(5, join(body, options))
}

func join(b []byte, parts [][]byte) []byte {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// scanSample is a file with everything that a Scanner knows: two sections of
// the two byte orders, interfaces of different clocks, all kinds of packets,
// and blocks that it only passes by.
func scanSample(first, second endian) []byte {
	var file []byte
	for _, order := range []endian{first, second} {
		w := &scanBuilder{endian: order}
		w.section(w.option(4, []byte("generator")), w.option(0, nil))
		w.iface(101, 0, w.option(2, []byte("tun0")), w.option(9, []byte{9}), w.option(0, nil))
		w.iface(1, 5, w.option(14, w.AppendUint64(nil, 100)))
		w.enhanced(0, 1_700_000_000_123_456_789, []byte("abc"), 3, w.option(1, []byte("hello")), w.option(0, nil))
		w.enhanced(1, 42, []byte("defgh"), 1500)
		w.obsolete(1, 43, []byte("ijkl"), 4, w.option(2, []byte{0, 0, 0, 1}))
		w.simple([]byte("mnopqrs"), 7)
		w.enhanced(0, 5, nil, 0)
		w.block(0x80001234, []byte("of local use"))
		w.block(4, nil)
		w.statistics(0, 6, w.option(4, w.AppendUint64(nil, 77)))
		file = append(file, w.b...)
	}
	return file
}
