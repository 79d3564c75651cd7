package pcapng

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

func FuzzScanner(f *testing.F) {
	le := scanSample(binary.LittleEndian, binary.BigEndian)
	f.Add(le)
	f.Add(scanSample(binary.BigEndian, binary.LittleEndian))
	f.Add(le[:len(le)-7])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		s := NewScanner(bytes.NewReader(file))
		offset := int64(0)
		for s.Next() == nil {
			if s.Offset() != offset {
				t.Fatalf("block at %d, want %d", s.Offset(), offset)
			}
			offset += int64(len(s.Body())) + minBlockLength
			total := len(s.Body())
			if p := s.Packet(); p != nil {
				if p.Interface == nil {
					t.Fatal("packet without interface")
				}
				total -= len(p.Data)
			}
			for options := s.Options(); options.Next(); {
				total -= optionHeaderLen + len(options.Value)
			}
			s.Statistics()
			if s.Describe(new(Section)); total < 0 {
				t.Fatal("the parts of a block are longer than the block")
			}
		}
		if offset > int64(len(file)) || len(s.buf) > max(scanBufferLen, 4*len(file)) {
			t.Fatalf("%d bytes scanned of %d, buffer of %d", offset, len(file), len(s.buf))
		}
		var c *CorruptError
		switch err := s.Next(); {
		case err == io.EOF && offset == int64(len(file)):
		case errors.As(err, &c) && c.Offset == offset:
		default:
			t.Fatalf("after %d of %d bytes: %v", offset, len(file), err)
		}
	})
}

func scanBulk(packets int) []byte {
	w := &scanBuilder{endian: binary.LittleEndian}
	w.section()
	w.iface(101, 0, w.option(9, []byte{9}))
	for i := range packets {
		w.enhanced(0, uint64(i), make([]byte, 100), 100)
	}
	return w.b
}

func TestScannerAllocatesNothingPerPacket(t *testing.T) {
	s := NewScanner(bytes.NewReader(scanBulk(5000)))
	for range 2 {
		s.Next()
	}
	if n := testing.AllocsPerRun(4000, func() {
		if s.Next() != nil || s.Packet() == nil {
			t.Fatal("out of packets")
		}
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

func BenchmarkScanner(b *testing.B) {
	file := scanBulk(100_000)
	r := bytes.NewReader(file)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(file)
		s := NewScanner(r)
		packets := 0
		for s.Next() == nil {
			if s.Packet() != nil {
				packets++
			}
		}
		if packets != 100_000 || s.Err() != nil {
			b.Fatal(packets, s.Err())
		}
	}
}
