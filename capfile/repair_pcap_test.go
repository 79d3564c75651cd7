package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tunrec/tunrec/pcapng"
)

// pcapFile is a pcap file, and what is in it.
type pcapFile struct {
	bytes   []byte
	ends    []int // of the header and of each record
	packets []Packet
}

// makePcap makes a pcap file of n packets; every other one is longer than its
// snaplen.
func makePcap(order byteOrder, magic uint32, n int) (f pcapFile) {
	const snaplen = 100
	rnd := rand.New(rand.NewPCG(15, 16))
	u32 := func(values ...uint32) {
		for _, v := range values {
			f.bytes = order.AppendUint32(f.bytes, v)
		}
	}
	u32(magic)
	f.bytes = order.AppendUint16(order.AppendUint16(f.bytes, 2), 4)
	u32(0, 0, snaplen, 1)
	f.ends = []int{len(f.bytes)}
	unit := int64(1)
	if magic == pcapMicroseconds {
		unit = 1000
	}
	for i := range n {
		data := make([]byte, 40+rnd.IntN(40))
		p := Packet{int64(1e18) + int64(i)*1e9 + int64(i)*unit, data, len(data)}
		if i%2 == 0 {
			p.Data, p.OrigLen = make([]byte, snaplen), 1500
		}
		for i := range p.Data {
			p.Data[i] = byte(rnd.Uint32())
		}
		u32(uint32(p.UnixNano/1e9), uint32(p.UnixNano%1e9/unit), uint32(len(p.Data)), uint32(p.OrigLen))
		f.bytes = append(f.bytes, p.Data...)
		f.ends = append(f.ends, len(f.bytes))
		f.packets = append(f.packets, p)
	}
	return f
}

// eachPcap goes through files of both byte orders and units of time.
func eachPcap(t *testing.T, test func(t *testing.T, f pcapFile)) {
	for name, order := range byteOrders {
		for _, magic := range []uint32{pcapMicroseconds, pcapNanoseconds} {
			t.Run(fmt.Sprintf("%s-%x", name, magic), func(t *testing.T) {
				t.Parallel()
				test(t, makePcap(order, magic, 40))
			})
		}
	}
	for _, name := range []string{"dns.pcap", "sll.pcap", "snaplen.pcap"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, readPcap(t, name))
		})
	}
}

// readPcap reads a capture of testdata.
func readPcap(t testing.TB, name string) (f pcapFile) {
	t.Helper()
	var err error
	if f.bytes, err = os.ReadFile(filepath.Join("..", "testdata", "pcaps", name)); err != nil {
		t.Fatal(err)
	}
	_, _, f.packets = repairPcap(t, f.bytes)
	end := pcapHeaderLen
	f.ends = []int{end}
	for _, p := range f.packets {
		end += pcapRecordLen + len(p.Data)
		f.ends = append(f.ends, end)
	}
	return f
}

func repairPcap(t testing.TB, file []byte) (Repaired, []Loss, []Packet) {
	t.Helper()
	rep, lost, out := repairOthers(t, RepairPcap, file)
	return rep, lost, scanned(t, rep, bytes.NewReader(out))
}

// scanned are the packets of a repaired file.
func scanned(t testing.TB, rep Repaired, out io.Reader) (packets []Packet) {
	t.Helper()
	s := pcapng.NewScanner(out)
	for s.Next() == nil {
		if p := s.Packet(); p != nil {
			packets = append(packets, Packet{p.UnixNano, bytes.Clone(p.Data), int(p.OrigLen)})
		}
	}
	if s.Err() != nil || len(s.Interfaces()) != 1 || rep.Packets != uint64(len(packets)) {
		t.Fatalf("%v, %d interfaces, %d packets of %d", s.Err(), len(s.Interfaces()), len(packets), rep.Packets)
	}
	return packets
}

func TestRepairPcapWhole(t *testing.T) {
	eachPcap(t, func(t *testing.T, f pcapFile) {
		if rep, lost, got := repairPcap(t, f.bytes); !rep.Whole || lost != nil || !slices.EqualFunc(got, f.packets, samePacket) {
			t.Errorf("%+v, %v, %d packets", rep, lost, len(got))
		}
	})
	captures, err := filepath.Glob(filepath.Join("..", "testdata", "pcaps", "*.pcap"))
	if err != nil || captures == nil {
		t.Fatal(err, captures)
	}
	for _, name := range captures {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if rep, lost, _ := repairPcap(t, file); !rep.Whole || lost != nil || rep.Packets == 0 {
			t.Errorf("%s: %+v, %v", name, rep, lost)
		}
	}
}

// TestRepairPcapCut cuts files at every byte of their last two packets.
func TestRepairPcapCut(t *testing.T) {
	eachPcap(t, func(t *testing.T, f pcapFile) {
		for at := f.ends[len(f.ends)-3]; at < len(f.bytes); at++ {
			n, whole := slices.BinarySearch(f.ends, at)
			if !whole {
				n--
			}
			rep, lost, got := repairPcap(t, f.bytes[:at])
			if !slices.EqualFunc(got, f.packets[:n], samePacket) || rep.Whole != whole ||
				!whole && (len(lost) != 1 || lost[0].Offset != int64(f.ends[n]) || lost[0].End != int64(at)) {
				t.Fatalf("cut at byte %d: %d packets, want %d: %+v, %v", at, len(got), n, rep, lost)
			}
		}
	})
}

// TestRepairPcapFlips: a flipped bit costs no more than the packet that it
// hits, and where that is lost the place is told.
func TestRepairPcapFlips(t *testing.T) {
	eachPcap(t, func(t *testing.T, f pcapFile) {
		rnd := rand.New(rand.NewPCG(17, 18))
		for range 200 {
			at := f.ends[0] + rnd.IntN(len(f.bytes)-f.ends[0])
			hit, begins := slices.BinarySearch(f.ends, at)
			if !begins {
				hit--
			}
			file := bytes.Clone(f.bytes)
			file[at] ^= 1 << rnd.IntN(8)
			rep, lost, got := repairPcap(t, file)
			others := slices.Concat(f.packets[:hit], f.packets[hit+1:])
			if len(got) == len(f.packets) {
				got = slices.Delete(got, hit, hit+1)
			} else if len(lost) != 1 || lost[0].Offset != int64(f.ends[hit]) || lost[0].End != int64(f.ends[hit+1]) || rep.Whole {
				t.Fatalf("byte %d of packet %d: %+v, %v", at, hit, rep, lost)
			}
			if !slices.EqualFunc(got, others, samePacket) {
				t.Fatalf("byte %d of packet %d: %d other packets, want %d: %v", at, hit, len(got), len(others), lost)
			}
		}
	})
}

// TestRepairPcapHoles zeroes bytes, and takes bytes out: all packets that are
// not hit are had.
func TestRepairPcapHoles(t *testing.T) {
	eachPcap(t, func(t *testing.T, f pcapFile) {
		rnd := rand.New(rand.NewPCG(19, 20))
		for range 200 {
			first := 1 + rnd.IntN(len(f.packets)-10)
			from := f.ends[first] + rnd.IntN(f.ends[first+1]-f.ends[first])
			to := from + 1 + rnd.IntN(400)
			next, _ := slices.BinarySearch(f.ends, to)
			zeroed := bytes.Clone(f.bytes)
			clear(zeroed[from:to])
			for _, file := range [][]byte{zeroed, slices.Concat(f.bytes[:from], f.bytes[to:])} {
				_, lost, got := repairPcap(t, file)
				if n := len(got) - len(f.packets[next:]); n < first || n > next ||
					!slices.EqualFunc(got[:first], f.packets[:first], samePacket) ||
					!slices.EqualFunc(got[n:], f.packets[next:], samePacket) {
					t.Fatalf("bytes %d to %d, packets %d to %d: %d packets, %v", from, to, first, next, len(got), lost)
				}
			}
		}
	})
}

// TestRepairPcapClock: where the clock is set while nothing can be read, the
// packets behind are had.
func TestRepairPcapClock(t *testing.T) {
	for _, order := range byteOrders {
		f := makePcap(order, pcapNanoseconds, 20)
		for i := range 10 { // before it is set, the clock of many devices is in 1970
			order.PutUint32(f.bytes[f.ends[i]:], uint32(i))
			f.packets[i].UnixNano = int64(i)*1e9 + f.packets[i].UnixNano%1e9
		}
		if rep, lost, got := repairPcap(t, f.bytes); !rep.Whole || !slices.EqualFunc(got, f.packets, samePacket) {
			t.Fatalf("%+v, %v", rep, lost)
		}
		clear(f.bytes[f.ends[9]:f.ends[11]])
		want := slices.Delete(f.packets, 9, 11)
		if rep, lost, got := repairPcap(t, f.bytes); len(lost) != 1 || !slices.EqualFunc(got, want, samePacket) {
			t.Fatalf("%+v, %v", rep, lost)
		}
	}
}

// TestRepairPcapTimes: where nothing is damaged, all packets are had whenever
// they came, though their lengths do not vouch for them.
func TestRepairPcapTimes(t *testing.T) {
	const day = 24 * 3600
	for name, seconds := range map[string]func(i int) uint32{
		"rare":        func(i int) uint32 { return 1e9 + uint32(i)*40*day },
		"alternating": func(i int) uint32 { return 1 + uint32(i)%2*1_800_000_000 },
		"once zero":   func(i int) uint32 { return 1e9 * uint32(min(i^20, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			eachPcap(t, func(t *testing.T, f pcapFile) {
				order := byteOrder(binary.LittleEndian)
				if f.bytes[0] == 0xa1 {
					order = binary.BigEndian
				}
				for i := range f.packets {
					at, p := f.ends[i], &f.packets[i]
					p.UnixNano = int64(seconds(i))*1e9 + p.UnixNano%1e9
					order.PutUint32(f.bytes[at:], seconds(i))
					p.OrigLen = 1500
					order.PutUint32(f.bytes[at+12:], 1500)
				}
				if rep, lost, got := repairPcap(t, f.bytes); !rep.Whole || !slices.EqualFunc(got, f.packets, samePacket) {
					t.Errorf("%d packets of %d: %+v, %v", len(got), len(f.packets), rep, lost)
				}
			})
		})
	}
}

// TestRepairPcapShifted: behind a damaged length the records are not read four
// bytes too late, where they look alike: fractions are near each other, too.
func TestRepairPcapShifted(t *testing.T) {
	f := readPcap(t, "sll.pcap")
	const i = 9
	binary.LittleEndian.PutUint32(f.bytes[f.ends[i]+8:], 2*maxPacketLen)
	want := slices.Delete(f.packets, i, i+1)
	if _, lost, got := repairPcap(t, f.bytes); len(lost) != 1 || !slices.EqualFunc(got, want, samePacket) {
		t.Errorf("%d packets, %v", len(got), lost)
	}
	for _, name := range []string{"dns.pcap", "sll.pcap"} {
		f := readPcap(t, name)
		for i, end := range f.ends[1 : len(f.packets)-farFollowers] { // four bytes of a packet are missing
			_, lost, got := repairPcap(t, slices.Concat(f.bytes[:end-4], f.bytes[end:]))
			if len(lost) != 1 || !slices.EqualFunc(got[len(got)-len(f.packets)+i+1:], f.packets[i+1:], samePacket) {
				t.Errorf("%s, packet %d: %d packets, %v", name, i, len(got), lost)
			}
		}
	}
}

func TestRepairPcapForeign(t *testing.T) {
	for _, file := range []string{"", "hello", "\xd4\xc3\xb2\xa1\x02\x00\x04\x00", string(make([]byte, 100))} {
		_, err := RepairPcap(bytes.NewReader([]byte(file)), func() (io.Writer, error) {
			t.Error("a file was made")
			return io.Discard, nil
		}, RepairOptions{})
		if !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v", file, err)
		}
	}
}

// FuzzRepairPcap: a scanner finds nothing wrong with what is written, and as
// many packets as were counted; what is said to be whole is.
func FuzzRepairPcap(f *testing.F) {
	for _, order := range byteOrders {
		for _, magic := range []uint32{pcapMicroseconds, pcapNanoseconds} {
			file := makePcap(order, magic, 5)
			f.Add(file.bytes)
			f.Add(file.bytes[:len(file.bytes)-50])
			f.Add(slices.Concat(file.bytes[:60], make([]byte, 40), file.bytes[100:]))
		}
	}
	for _, name := range []string{"dns.pcap", "snaplen.pcap"} {
		file, err := os.ReadFile(filepath.Join("..", "testdata", "pcaps", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var out bytes.Buffer
		at := int64(0)
		rep, err := RepairPcap(bytes.NewReader(file), func() (io.Writer, error) { return &out, nil },
			RepairOptions{Loss: func(l Loss) {
				if l.Offset < at || l.End <= l.Offset || l.End > int64(len(file)) || l.Reason == "" {
					t.Fatalf("%+v, behind byte %d of %d", l, at, len(file))
				}
				at = l.End
			}})
		if err != nil {
			checkKind(t, err)
			return
		}
		length := pcapHeaderLen
		for _, p := range scanned(t, rep, &out) {
			length += pcapRecordLen + len(p.Data)
		}
		if rep.Whole != (length == len(file)) || rep.Whole != (at == 0) {
			t.Fatalf("%+v: %d bytes of %d", rep, length, len(file))
		}
	})
}
