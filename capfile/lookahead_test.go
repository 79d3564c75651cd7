package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"unsafe"

	"github.com/tunrec/tunrec/internal/zstdblock/blocktest"
)

// TestLookahead looks and takes at random, and compares with the bytes themselves.
func TestLookahead(t *testing.T) {
	all := make([]byte, 10_000)
	for i := range all {
		all[i] = byte(i * 7 >> 3)
	}
	broken := errors.New("broken")
	for name, in := range map[string]func() io.Reader{
		"whole":  func() io.Reader { return bytes.NewReader(all) },
		"bytes":  func() io.Reader { return iotest.OneByteReader(bytes.NewReader(all)) },
		"error":  func() io.Reader { return io.MultiReader(bytes.NewReader(all), iotest.ErrReader(broken)) },
		"at end": func() io.Reader { return iotest.DataErrReader(bytes.NewReader(all)) },
	} {
		rnd := rand.New(rand.NewPCG(1, 2))
		l, want := newLookahead(in(), 64), all
		end := io.EOF
		if name == "error" {
			end = broken
		}
		for len(want) > 0 {
			n := rnd.IntN(300)
			b, err := l.peek(n)
			if !bytes.Equal(b, want[:min(n, len(want))]) || (err == nil) != (n <= len(want)) || err != nil && err != end {
				t.Fatalf("%s: %d bytes, %v; %d are wanted of %d", name, len(b), err, n, len(want))
			}
			n = rnd.IntN(100)
			if got := l.skip(n); got != min(n, len(want)) {
				t.Fatalf("%s: %d bytes taken, want %d of %d", name, got, n, len(want))
			}
			want = want[min(n, len(want)):]
		}
		if b, err := l.peek(1); len(b) > 0 || err != end {
			t.Errorf("%s: %d bytes and %v behind the end", name, len(b), err)
		}
	}
}

// TestLookaheadMovesSeldom: to look far ahead from every byte does not move the memory
// at every byte. That made repair take minutes for a file that claims long blocks.
func TestLookaheadMovesSeldom(t *testing.T) {
	const far, length = 1000, 100_000
	l := newLookahead(bytes.NewReader(make([]byte, length)), 1)
	var before uintptr
	moves := 0
	for range length - far {
		b, err := l.peek(far)
		if err != nil {
			t.Fatal(err)
		}
		if at := uintptr(unsafe.Pointer(&b[0])); at != before+1 {
			moves++
		}
		before = uintptr(unsafe.Pointer(&b[0]))
		l.skip(1)
	}
	if most := length/far + 1; moves > most {
		t.Errorf("moved %d times, want at most %d", moves, most)
	}
}

// nonsense are long runs of bytes that are no capture, behind a good beginning.
var nonsense = map[string]func(b []byte){
	"zeros":   func([]byte) {},
	"garbage": func(b []byte) { rand.NewChaCha8([32]byte{}).Read(b) },
	"claims": func(b []byte) { // of a packet block in every eighth byte, as long as is looked for
		for i := 0; i+8 <= len(b); i += 8 {
			binary.LittleEndian.PutUint32(b[i:], 6)
			binary.LittleEndian.PutUint32(b[i+4:], longestSearched-4)
		}
	},
}

func BenchmarkRepairNonsense(b *testing.B) {
	for name, fill := range nonsense {
		for format, head := range map[string][]byte{
			"pcapng": pcapngHead(b), "pcap": pcapHead(),
		} {
			b.Run(format+"/"+name, func(b *testing.B) {
				file := make([]byte, 32<<20)
				fill(file)
				copy(file, head)
				repair := RepairPcapng
				if format == "pcap" {
					repair = RepairPcap
				}
				b.SetBytes(int64(len(file)))
				for b.Loop() {
					if _, err := repair(bytes.NewReader(file), func() (io.Writer, error) { return io.Discard, nil }, RepairOptions{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func pcapngHead(t testing.TB) []byte {
	head, err := tunrecSection.EncodeAs(101, 9)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func pcapHead() []byte {
	head := make([]byte, pcapHeaderLen)
	binary.LittleEndian.PutUint32(head, pcapNanoseconds)
	binary.LittleEndian.PutUint32(head[16:], maxPacketLen)
	return head
}

// TestRepairReportsAtOnce: what is lost is told as it is found, and not kept until the
// end: a file can have any number of damaged places.
func TestRepairReportsAtOnce(t *testing.T) {
	file := pcapngHead(t)
	good := blocktest.Block([]byte{0x45, 0, 0, 20}, 1e18)
	const gaps = 1000
	for range gaps {
		file = append(append(file, 9, 9, 9, 9, 12, 0, 0, 0, 0, 0, 0, 0), good...) // whose two lengths differ
	}
	in := bytes.NewReader(file)
	told := 0
	r, err := RepairPcapng(iotest.OneByteReader(in), func() (io.Writer, error) { return io.Discard, nil }, RepairOptions{
		Loss: func(l Loss) {
			told++
			if read := int64(len(file)) - int64(in.Len()); read > l.End+int64(len(good))+128<<10 {
				t.Fatalf("loss %d up to byte %d is told after byte %d", told, l.End, read)
			}
		},
	})
	if err != nil || told != gaps || r.Packets != gaps {
		t.Errorf("%d losses told, %d packets, %v", told, r.Packets, err)
	}
}
