package filter

import (
	"encoding/binary"
	"math/rand/v2"
)

// captured is a packet as a recording has it.
type captured struct {
	data    []byte
	origLen int
}

// The pools from which packets and expressions are made overlap, so that
// expressions match a fair share of the packets.
var (
	poolPorts   = []uint16{0, 1, 20, 53, 67, 69, 80, 81, 123, 443, 514, 1024, 8080, 65535}
	poolAddrs4  = [][4]byte{{10, 0, 0, 1}, {10, 1, 2, 3}, {10, 255, 0, 0}, {172, 16, 0, 1}, {192, 168, 1, 1}, {192, 168, 1, 255}, {224, 0, 0, 1}, {255, 255, 255, 255}, {0, 0, 0, 0}, {1, 2, 3, 4}, {0, 0, 0, 5}}
	poolAddrs6  = []string{"2001:db8::1", "2001:db8::2", "2001:db8:1::1", "fe80::1", "ff02::1", "::1", "::", "::ffff:10.0.0.1", "fd00:1:2:3:4:5:6:7"}
	poolProtos  = []byte{6, 6, 6, 6, 17, 17, 17, 1, 58, 132, 2, 9, 50, 51, 103, 112, 0, 59, 44, 43, 60, 4, 41, 47, 89, 255}
	poolHeaders = []byte{headerHopByHop, headerRouting, headerFragment, headerAH, headerDestination}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// chance is true in one of n cases.
func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// corpus makes n packets, the same ones for the same seed.
func corpus(seed uint64, n int) []captured {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]captured, n)
	for i := range out {
		out[i] = packet(r)
	}
	return out
}

func packet(r *rand.Rand) captured {
	var b []byte
	switch r.IntN(20) {
	case 0:
		b = randomBytes(r, r.IntN(80))
	case 1, 2, 3, 4, 5, 6, 7, 8:
		b = packet6(r)
	default:
		b = packet4(r)
	}
	for chance(r, 5) && len(b) > 0 {
		b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
	}
	c := captured{b, len(b)}
	switch {
	case chance(r, 4):
		c.data = b[:r.IntN(len(b)+1)]
	case chance(r, 30):
		c.origLen += r.IntN(2000)
	}
	return c
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func packet4(r *rand.Rand) []byte {
	options := 0
	if chance(r, 4) {
		options = 4 * r.IntN(11)
	}
	b := randomBytes(r, 20+options)
	b[0] = 0x40 | byte(len(b)/4)
	binary.BigEndian.PutUint16(b[6:], pick(r, []uint16{0, 0, 0, 0, 0x4000, 0x2000, 0x2003, 185, 0x1fff, 0x8000}))
	b[9] = pick(r, poolProtos)
	src, dst := pick(r, poolAddrs4), pick(r, poolAddrs4)
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	if b[9] == headerAH {
		return append(b, extension(r, headerAH, 0)...)
	}
	b = append(b, transport(r, b[9])...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func packet6(r *rand.Rand) []byte {
	b := randomBytes(r, 40)
	b[0] = 0x60 | b[0]&0xf
	copy(b[8:], mustAddr(pick(r, poolAddrs6)))
	copy(b[24:], mustAddr(pick(r, poolAddrs6)))
	next := 6 // offset of the latest next-header field
	if chance(r, 3) {
		for range 1 + r.IntN(pick(r, []int{1, 3, 8})) {
			h := pick(r, poolHeaders)
			b[next] = h
			next = len(b)
			b = append(b, extension(r, h, 0)...)
		}
	}
	proto := pick(r, poolProtos)
	b[next] = proto
	return append(b, transport(r, proto)...)
}

// extension makes a header of an IPv6 chain whose next-header field says next.
func extension(r *rand.Rand, h, next byte) []byte {
	var b []byte
	switch h {
	case headerFragment:
		b = randomBytes(r, 8)
		binary.BigEndian.PutUint16(b[2:], pick(r, []uint16{0, 0, 1, 8, 0xfff9}))
		b[1] = 0
	case headerAH:
		n := r.IntN(4)
		b = randomBytes(r, 4*(n+2))
		b[1] = byte(n)
	default:
		n := r.IntN(3)
		b = randomBytes(r, 8*(n+1))
		b[1] = byte(n)
	}
	b[0] = next
	return b
}

func transport(r *rand.Rand, proto byte) []byte {
	b := randomBytes(r, 8+r.IntN(40))
	binary.BigEndian.PutUint16(b, pick(r, poolPorts))
	binary.BigEndian.PutUint16(b[2:], pick(r, poolPorts))
	switch {
	case proto == 6 && len(b) >= 20:
		b[12] = byte(5+r.IntN(4)) << 4
		b[13] = pick(r, []byte{2, 0x12, 0x10, 0x18, 1, 4, 0xff, 0})
	case proto == 1 || proto == 58:
		b[0] = pick(r, []byte{0, 3, 8, 128, 129, 135, 1})
		b[1] = byte(r.IntN(4))
	}
	return b
}
