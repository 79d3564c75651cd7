package zstdblock

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tunrec/tunrec/internal/zstdblock/blocktest"
	"github.com/tunrec/tunrec/pcapng"
)

// codePackets codes content by a PacketCoder that has coded other content
// before, checks what it made, and returns its length.
func codePackets(t testing.TB, p *PacketCoder, content []byte, byZstd bool) int {
	t.Helper()
	buf := make([]byte, 0, EncodedCap(len(content)))
	coded, _ := p.Append(buf, content)
	blocks := (len(content) + Max - 1) / Max
	if len(coded) > len(content)+blocks*HeaderLen {
		t.Fatalf("%d bytes became %d", len(content), len(coded))
	}
	if len(coded) > 0 && &coded[0] != &buf[:1][0] {
		t.Fatalf("EncodedCap was too little for %d bytes", len(content))
	}
	blocktest.Check(t, coded, content, byZstd)
	return len(coded)
}

// captured returns the packets of the captures in testdata as blocks, by file.
func captured(t testing.TB) map[string][][]byte {
	t.Helper()
	names, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(names) < 15 {
		t.Fatalf("%d captures: %v", len(names), err)
	}
	all := make(map[string][][]byte)
	le := binary.LittleEndian
	for _, name := range names {
		file := readFile(t, name)
		for at := 24; at < len(file); { // pcap: file header, then a header of 16 bytes to each packet
			n := int(le.Uint32(file[at+8:]))
			unixNano := int64(le.Uint32(file[at:]))*1e9 + int64(le.Uint32(file[at+4:]))*1e3
			all[name] = append(all[name], blocktest.Block(file[at+16:][:n], unixNano))
			at += 16 + n
		}
	}
	s := pcapng.NewScanner(bytes.NewReader(readFile(t, tlsCapture)))
	for s.Next() == nil {
		if p := s.Packet(); p != nil {
			all[tlsCapture] = append(all[tlsCapture], blocktest.Block(p.Data, p.UnixNano))
		}
	}
	if len(all[tlsCapture]) == 0 {
		t.Fatalf("no packets in %s: %v", tlsCapture, s.Err())
	}
	return all
}

const tlsCapture = "../../testdata/pcaps/tls.pcapng"

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPacketsOfCaptures(t *testing.T) {
	p := PacketCoder{windowBytes: 1 << 20}
	var all []byte
	for _, blocks := range captured(t) {
		content := slices.Concat(blocks...)
		codePackets(t, &p, content, true)
		all = append(all, content...)
	}
	codePackets(t, &p, all, true)
	codePackets(t, &p, bytes.Repeat(all, 8), true)
	codePackets(t, &p, readFile(t, tlsCapture), true) // begins with other blocks
}

func TestPacketsOfAllSizes(t *testing.T) {
	p := PacketCoder{windowBytes: 1 << 20}
	r := rand.New(rand.NewPCG(2, 2))
	random := blocktest.Fills(2)["random"]
	of := func(n int) []byte {
		b := make([]byte, n)
		random(b)
		return b
	}
	for size := range 200 {
		var one, run []byte
		for i := range 50 {
			run = append(run, blocktest.Block(of(size), int64(1e18)+int64(i))...)
			if i == 0 {
				one = bytes.Clone(run)
			}
		}
		codePackets(t, &p, one, false)
		codePackets(t, &p, run, false)
	}
	for _, size := range []int{1, 65534, 65535, 131071, 131072, 262143, 262144} {
		var run []byte
		same := blocktest.Block(of(size), 1e18)
		for i := range 8 {
			run = append(append(run, blocktest.Block(of(size), int64(1e18)+int64(i))...), same...)
		}
		codePackets(t, &p, same, true)
		codePackets(t, &p, run, true)
	}
	for _, flows := range []int{1, 2, 300, 20000} {
		for _, payload := range []int{0, 1, 100, 1400} {
			codePackets(t, &p, blocktest.TunnelPackets(r, 3<<20/2, flows, payload, random), true)
		}
	}
	// Many sequences: packets of no bytes.
	var empty []byte
	for i := range 20000 {
		empty = append(empty, blocktest.Block(nil, int64(r.Uint64()>>1)+int64(i))...)
	}
	codePackets(t, &p, empty, true)
}

// TestPacketsThatDiffer: in one byte, anywhere.
func TestPacketsThatDiffer(t *testing.T) {
	p := PacketCoder{windowBytes: 1 << 20}
	first := blocktest.TunnelPackets(rand.New(rand.NewPCG(3, 3)), 1, 1, 150, blocktest.Fills(3)["random"])
	var all []byte
	for i := range len(first) - pcapng.PacketHeaderLen - 4 {
		packet := bytes.Clone(first[pcapng.PacketHeaderLen : len(first)-4])
		packet[i] ^= 0x10
		two := append(bytes.Clone(first), blocktest.Block(packet, 1e18)...)
		codePackets(t, &p, two, false)
		all = append(all, two...)
	}
	if n := codePackets(t, &p, all, true); n > len(all)/3 {
		t.Errorf("%d bytes of packets that hardly differ became %d", len(all), n)
	}
	for i := range len(first) { // headers, too, so that it may be no packet
		two := slices.Concat(first, first, first)
		two[len(first)+i] ^= 1
		codePackets(t, &p, two, false)
	}
	for n := range len(first) {
		codePackets(t, &p, slices.Concat(first, first, first[:n]), false)
	}
}

// TestPacketsAtBlockEnds moves matches and what is between them over the end
// of a zstd block.
func TestPacketsAtBlockEnds(t *testing.T) {
	p := PacketCoder{windowBytes: 1 << 20}
	random := blocktest.Fills(4)["random"]
	packet := make([]byte, 1000)
	random(packet)
	run := bytes.Repeat(blocktest.Block(packet, 1e18), 300)
	for d := -12; d <= 12; d++ {
		codePackets(t, &p, run[:Max+d], false)
		codePackets(t, &p, run[:2*Max+d], false)
		for _, also := range []int{0, 1, 3, 4, 5, 8} {
			odd := bytes.Clone(run)
			odd[Max+d] ^= 1
			odd[Max+d+also] ^= 2
			odd[2*Max+d] ^= 1
			codePackets(t, &p, odd, d == 0)
		}
	}
	for size := 1; size < 140; size++ { // where in a header the block ends
		lead := make([]byte, size)
		random(lead)
		codePackets(t, &p, append(blocktest.Block(lead, 1), blocktest.TunnelPackets(rand.New(rand.NewPCG(uint64(size), 4)), 300<<10, 3, 100+size%7, random)...), size%20 == 0)
	}
	for _, noise := range []int{1, Max - 1, Max, Max + 1, 3 * Max} {
		content := make([]byte, noise)
		random(content)
		codePackets(t, &p, content, true)
	}
}

// TestPacketsOffsetBehindRawBlock: the one match of a zstd block is too short to
// pay, so its offset is not the repeat offset of the next block, which begins
// with a match of that offset.
func TestPacketsOffsetBehindRawBlock(t *testing.T) {
	p := PacketCoder{windowBytes: 1 << 20}
	random := blocktest.Fills(5)["random"]
	var content []byte
	for _, blockLen := range []int{Max - 4, 0x10100} { // lengths that differ in two bytes
		packet := make([]byte, blockLen-pcapng.PacketHeaderLen-4)
		random(packet)
		content = append(content, blocktest.Block(packet, 1e18)...)
	}
	content = append(content, bytes.Repeat(content[Max-4:], 3)...)
	coded, _ := p.Append(nil, content)
	kind, size, _ := Header(coded)
	next, _, _ := Header(coded[HeaderLen+size:])
	if kind != Raw || next != Compressed {
		t.Fatalf("blocks of types %d and %d: this test proves nothing", kind, next)
	}
	codePackets(t, &p, content, true)
}

// TestPacketsBeyondWindow: the packet before of the flow may be out of reach.
func TestPacketsBeyondWindow(t *testing.T) {
	const window = 1 << 20
	p := PacketCoder{windowBytes: window}
	random := blocktest.Fills(5)["random"]
	r := rand.New(rand.NewPCG(5, 5))
	known := blocktest.TunnelPackets(r, 1, 1, 1000, random)
	for _, further := range []int{-4, 0, 4, 8} {
		content := bytes.Clone(known)
		for len(content) < window+further {
			packet := make([]byte, min(2000, window+further-len(content)-pcapng.PacketHeaderLen-4))
			if rest := window + further - len(content); rest > 2032 && rest < 4000 {
				packet = packet[:1000]
			}
			random(packet)
			packet[0] = 0
			content = append(content, blocktest.Block(packet, 1e18)...)
		}
		if len(content) != window+further {
			t.Fatalf("%d bytes, not %d", len(content), window+further)
		}
		without := codePackets(t, &p, content, true)
		with := codePackets(t, &p, append(content, known...), true)
		if found := with-without < 500; found != (further <= 0) {
			t.Errorf("a packet known from %d bytes before: %d bytes more", len(content), with-without)
		}
	}
	large := make([]byte, window+1000)
	random(large)
	codePackets(t, &p, bytes.Repeat(blocktest.Block(large, 1e18), 2), true)
	// A chunk of 8 MiB, of which every flow is rarer than once in a window.
	codePackets(t, &p, blocktest.TunnelPackets(r, 8<<20, 10000, 1000, random), true)
	codePackets(t, &p, blocktest.TunnelPackets(r, 8<<20, 5, 1000, random), true)
}

// FuzzPackets codes bytes as they are, and runs of packets that a script makes
// of the captures: which one, how often, and a change to each time.
func FuzzPackets(f *testing.F) {
	var seeds [][]byte
	captures := captured(f)
	for _, name := range slices.Sorted(maps.Keys(captures)) {
		seeds = append(seeds, captures[name]...)
		f.Add(slices.Concat(captures[name]...))
	}
	for i := range 20 {
		f.Add(bytes.Repeat([]byte{byte(i), byte(i * 7), byte(i), byte(i * 31), byte(1 << (i % 8))}, i))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := PacketCoder{windowBytes: 1 << 20}
		codePackets(t, &p, data, false)
		var run []byte
		for ; len(data) >= 5; data = data[5:] {
			which, times, at, change := int(data[0])|int(data[1])<<8, data[2], int(data[3])*7, data[4]
			packet := bytes.Clone(seeds[which%len(seeds)])
			for i := range int(times) {
				if len(run) > 2<<20 {
					break
				}
				packet[(at+i*int(change&7))%len(packet)] ^= change
				run = append(run, packet...)
			}
		}
		coded := codePackets(t, &p, run, false)
		if fresh := codePackets(t, &PacketCoder{windowBytes: 1 << 20}, run, false); coded != fresh {
			t.Fatalf("%d bytes become %d, by a coder that was used before %d", len(run), fresh, coded)
		}
	})
}
