package pcapng

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
)

// TestPutPacket reads blocks of every padding back by pcapgo, from a buffer
// that was full of other bytes.
func TestPutPacket(t *testing.T) {
	head, err := Section{InterfaceName: "tun0"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	stamps := []int64{0, 1, 1e18 + 999_999_999, 0x1_0000_0000, 0xffff_ffff}
	for _, n := range []int{1, 2, 3, 4, 5, 1499, 1500, 65534, 65535} {
		for _, stamp := range stamps {
			block := bytes.Repeat([]byte{0xdb}, n+PacketOverhead)
			packet := block[PacketHeaderLen : PacketHeaderLen+n]
			for i := range packet {
				packet[i] = byte(i + n)
			}
			want := bytes.Clone(packet)
			total := PutPacket(block, n, n+7, stamp)
			if total%4 != 0 || total > len(block) || total < n+PacketHeaderLen+4 {
				t.Fatalf("%d bytes: block of %d", n, total)
			}
			for _, b := range block[PacketHeaderLen+n : total-4] {
				if b != 0 {
					t.Fatalf("%d bytes: padding is %#x", n, b)
				}
			}
			r, err := pcapgo.NewNgReader(bytes.NewReader(append(bytes.Clone(head), block[:total]...)), pcapgo.DefaultNgReaderOptions)
			if err != nil {
				t.Fatal(err)
			}
			got, info, err := r.ReadPacketData()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) || info.CaptureLength != n || info.Length != n+7 || info.Timestamp.UnixNano() != stamp {
				t.Fatalf("%d bytes at %d: read back as %d of %d at %v", n, stamp, info.CaptureLength, info.Length, info.Timestamp)
			}
			if _, _, err := r.ReadPacketData(); err != io.EOF {
				t.Fatalf("after the packet: %v", err)
			}
		}
	}
}

func TestSectionLimits(t *testing.T) {
	for name, s := range map[string]Section{
		"comment":        {Comment: strings.Repeat("x", 65536)},
		"interface name": {InterfaceName: strings.Repeat("x", 65536)},
		"filter":         {Filter: strings.Repeat("x", 65535)},
	} {
		if _, err := s.Encode(); err == nil || !strings.HasPrefix(err.Error(), name+" of 65536 bytes") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	longest := Section{Comment: strings.Repeat("x", 65535), Filter: strings.Repeat("x", 65534)}
	if b, err := longest.Encode(); err != nil || len(b)%4 != 0 {
		t.Errorf("the longest options give %d bytes, %v", len(b), err)
	}
}

func TestStatistics(t *testing.T) {
	s := Statistics{Start: 1e18 + 1, End: 1e18 + 2e9, Received: 10, Dropped: 4, FilterAccept: 8, OSDropped: 3, Delivered: 5}
	b := s.Append(nil)
	if len(b) != StatisticsLen || binary.LittleEndian.Uint32(b[4:]) != StatisticsLen || binary.LittleEndian.Uint32(b[len(b)-4:]) != StatisticsLen {
		t.Fatalf("block of %d bytes, StatisticsLen is %d", len(b), StatisticsLen)
	}
	head, err := Section{}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(append(head, b...)), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Fatal(err)
	}
	i, err := r.Interface(0)
	if err != nil {
		t.Fatal(err)
	}
	got := i.Statistics
	if !got.StartTime.Equal(time.Unix(0, s.Start)) || !got.EndTime.Equal(time.Unix(0, s.End)) ||
		got.PacketsReceived != 10 || got.PacketsDropped != 4 {
		t.Fatalf("read back: %+v", got)
	}
}

func BenchmarkPutPacket(b *testing.B) {
	block := make([]byte, 2000)
	b.ReportAllocs()
	for i := range b.N {
		PutPacket(block, 100, 100, int64(i))
	}
}
