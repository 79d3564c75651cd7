package pcapng

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

var endians = map[string]endian{"little": binary.LittleEndian, "big": binary.BigEndian}

type scanned struct {
	linkType uint16
	name     string
	unixNano int64
	data     string
	origLen  uint32
}

func scanAll(r io.Reader) (packets []scanned, types []uint32, s *Scanner) {
	s = NewScanner(r)
	packets, types, _ = scanOn(s)
	return packets, types, s
}

func scanOn(s *Scanner) (packets []scanned, types []uint32, err error) {
	for err = s.Next(); err == nil; err = s.Next() {
		types = append(types, s.Type())
		if p := s.Packet(); p != nil {
			packets = append(packets, scanned{p.Interface.LinkType, p.Interface.Name, p.UnixNano, string(p.Data), p.OrigLen})
		}
	}
	return packets, types, err
}

func TestScanner(t *testing.T) {
	section := []scanned{
		{101, "tun0", 1_700_000_000_123_456_789, "abc", 3},
		{1, "", 100_000_042_000, "defgh", 1500},
		{1, "", 100_000_043_000, "ijkl", 4},
		{101, "tun0", 0, "mnopqrs", 7},
		{101, "tun0", 5, "", 0},
	}
	want := slices.Concat(section, section)
	types := []uint32{0x0A0D0D0A, 1, 1, 6, 6, 2, 3, 6, 0x80001234, 4, 5}
	types = slices.Concat(types, types)
	readers := map[string]func(io.Reader) io.Reader{
		"whole":   func(r io.Reader) io.Reader { return r },
		"byte":    iotest.OneByteReader,
		"dataErr": iotest.DataErrReader,
	}
	for name1, first := range endians {
		for name2, second := range endians {
			for how, wrap := range readers {
				t.Run(name1+"-"+name2+"-"+how, func(t *testing.T) {
					file := scanSample(first, second)
					got, gotTypes, s := scanAll(wrap(bytes.NewReader(file)))
					if !slices.Equal(got, want) {
						t.Errorf("packets:\n got %v\nwant %v", got, want)
					}
					if !slices.Equal(gotTypes, types) {
						t.Errorf("types: got %x, want %x", gotTypes, types)
					}
					if s.Err() != nil || s.Next() != io.EOF || s.Next() != io.EOF {
						t.Errorf("at the end: Err %v, Next %v", s.Err(), s.Next())
					}
					if s.Offset() != int64(len(file)) {
						t.Errorf("offset at the end is %d, want %d", s.Offset(), len(file))
					}
				})
			}
		}
	}
}

func TestScannerSimplePacketSnaplen(t *testing.T) {
	w := &scanBuilder{endian: binary.LittleEndian}
	w.section()
	w.iface(101, 5)
	w.simple([]byte("12345"), 1500)
	got, _, s := scanAll(bytes.NewReader(w.b))
	want := []scanned{{101, "", 0, "12345", 1500}}
	if !slices.Equal(got, want) || s.Err() != nil {
		t.Errorf("got %v, %v, want %v", got, s.Err(), want)
	}
}

func TestScannerOptions(t *testing.T) {
	for name, order := range endians {
		t.Run(name, func(t *testing.T) {
			var got []string
			s := NewScanner(bytes.NewReader(scanSample(order, order)))
			for s.Next() == nil {
				for options := s.Options(); options.Next(); {
					got = append(got, string(rune('0'+options.Code))+":"+string(options.Value))
				}
			}
			count := make([]byte, 8)
			order.PutUint64(count, 77)
			offset := make([]byte, 8)
			order.PutUint64(offset, 100)
			want := []string{"4:generator", "2:tun0", "9:\t", ">:" + string(offset), "1:hello", "2:\x00\x00\x00\x01", "4:" + string(count)}
			if want = slices.Concat(want, want); !slices.Equal(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
			if s.ByteOrder() != binary.ByteOrder(order) {
				t.Errorf("byte order is %v, want %v", s.ByteOrder(), order)
			}
		})
	}
}

func TestScannerDamage(t *testing.T) {
	const ifaceAt, packetAt = 28, 48 // of the blocks in the file below
	le := binary.LittleEndian
	build := func() *scanBuilder {
		w := &scanBuilder{endian: le}
		w.section()
		w.iface(101, 0)
		w.enhanced(0, 1, []byte("abcd"), 4, w.option(1, []byte("comment")))
		return w
	}
	type test struct {
		name   string
		damage func(file []byte) []byte
		offset int64
		reason string
	}
	tests := []test{
		{"not pcapng", func(f []byte) []byte { return []byte("hello, hello!") }, 0, "not a section header"},
		{"no magic", func(f []byte) []byte { f[8]++; return f }, 0, "byte-order magic"},
		{"version 2", func(f []byte) []byte { f[12] = 2; return f }, 0, "version 2.0"},
		{"version 1.1", func(f []byte) []byte { f[14] = 1; return f }, 0, "version 1.1"},
		{"length 0", func(f []byte) []byte { le.PutUint32(f[packetAt+4:], 0); return f }, packetAt, "impossible block length 0"},
		{"length 8", func(f []byte) []byte { le.PutUint32(f[packetAt+4:], 8); return f }, packetAt, "impossible block length 8"},
		{"length odd", func(f []byte) []byte { f[packetAt+4]++; return f }, packetAt, "impossible block length"},
		{"length huge", func(f []byte) []byte { le.PutUint32(f[packetAt+4:], 1<<32-4); return f }, packetAt, "impossible block length 4294967292"},
		{"length too large", func(f []byte) []byte { le.PutUint32(f[packetAt+4:], MaxBlockLength+4); return f }, packetAt, "impossible block length"},
		{"length beyond the file", func(f []byte) []byte { f[packetAt+4] += 4; return f }, packetAt, "cut off"},
		{"trailer", func(f []byte) []byte { f[len(f)-4]++; return f }, packetAt, "at its end"},
		{"interface", func(f []byte) []byte { f[packetAt+8] = 1; return f }, packetAt, "interface 1, but the section describes 1"},
		{"captured length", func(f []byte) []byte { f[packetAt+20] = 200; return f }, packetAt, "200 captured bytes"},
		{"captured length huge", func(f []byte) []byte { le.PutUint32(f[packetAt+20:], 1<<32-1); return f }, packetAt, "4294967295 captured bytes"},
		{"short section", func(f []byte) []byte {
			w := &scanBuilder{endian: le}
			w.block(BlockSectionHeader, le.AppendUint32(nil, ByteOrderMagic))
			return w.b
		}, 0, "too short"},
		{"interface option", func(f []byte) []byte {
			w := &scanBuilder{endian: le}
			w.section()
			w.iface(101, 0, le.AppendUint16(le.AppendUint16(nil, 2), 5))
			return w.b
		}, ifaceAt, "an option goes beyond"},
		{"simple packet without interface", func(f []byte) []byte {
			w := &scanBuilder{endian: le}
			w.section()
			w.simple([]byte("a"), 1)
			return w.b
		}, ifaceAt, "interface 0"},
		{"simple packet of the last section's interface", func(f []byte) []byte {
			w := build()
			w.section()
			w.simple([]byte("a"), 1)
			return w.b
		}, packetAt + 48 + 28, "interface 0"},
		{"simple packet too long", func(f []byte) []byte {
			w := &scanBuilder{endian: le, b: f[:packetAt]}
			w.simple([]byte("a"), 5)
			return w.b
		}, packetAt, "5 captured bytes"},
	}
	for _, typ := range []uint32{BlockEnhancedPacket, BlockPacket, BlockSimplePacket, BlockInterfaceDescription, BlockInterfaceStatistics} {
		tests = append(tests, test{"short block of type " + string(rune('0'+typ)), func(f []byte) []byte {
			w := &scanBuilder{endian: le, b: f[:packetAt]}
			w.block(typ, nil)
			return w.b
		}, packetAt, "too short"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, s := scanAll(bytes.NewReader(tt.damage(build().b)))
			var c *CorruptError
			if !errors.As(s.Err(), &c) {
				t.Fatalf("got %v, want a CorruptError", s.Err())
			}
			if c.Offset != tt.offset || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("got %v, want offset %d and %q", c, tt.offset, tt.reason)
			}
			if s.Next() != s.Err() || s.Packet() != nil || s.Body() != nil || s.Offset() != tt.offset {
				t.Errorf("Next after damage: %v, packet %v, offset %d", s.Next(), s.Packet(), s.Offset())
			}
			if options := s.Options(); options.Next() {
				t.Error("there are options after damage")
			}
		})
	}

	t.Run("packet option", func(t *testing.T) {
		file := build().b
		file[packetAt+8+20+4+2] = 100 // the comment's length
		s := NewScanner(bytes.NewReader(file))
		for range 3 {
			if err := s.Next(); err != nil {
				t.Fatal(err)
			}
		}
		options := s.Options()
		var c *CorruptError
		if options.Next() || !errors.As(options.Err(), &c) || c.Offset != packetAt {
			t.Errorf("got %v, want a CorruptError at %d", options.Err(), packetAt)
		}
	})
}

func TestScannerTooManyInterfaces(t *testing.T) {
	w := &scanBuilder{endian: binary.LittleEndian}
	w.section()
	for range maxInterfaces {
		w.iface(101, 0)
	}
	if _, _, s := scanAll(bytes.NewReader(w.b)); s.Err() != nil || len(s.Interfaces()) != maxInterfaces {
		t.Errorf("%d interfaces: %v", len(s.Interfaces()), s.Err())
	}
	w.iface(101, 0)
	if _, _, s := scanAll(bytes.NewReader(w.b)); s.Err() == nil {
		t.Error("one more is believed")
	}
}

func TestScannerCutAtEveryByte(t *testing.T) {
	for name, order := range endians {
		t.Run(name, func(t *testing.T) {
			file := scanSample(order, order)
			var starts []int64 // of blocks, and the end
			s := NewScanner(bytes.NewReader(file))
			for s.Next() == nil {
				starts = append(starts, s.Offset())
			}
			starts = append(starts, s.Offset())
			for cut := range len(file) + 1 {
				whole := 0
				for whole < len(starts)-1 && int64(cut) >= starts[whole+1] {
					whole++
				}
				_, types, s := scanAll(bytes.NewReader(file[:cut]))
				if len(types) != whole {
					t.Fatalf("cut at %d: %d blocks, want %d", cut, len(types), whole)
				}
				if clean := starts[whole] == int64(cut); clean != (s.Err() == nil) {
					t.Fatalf("cut at %d: %v", cut, s.Err())
				} else if clean {
					continue
				}
				var c *CorruptError
				if !errors.As(s.Err(), &c) || !errors.Is(s.Err(), io.ErrUnexpectedEOF) || c.Offset != starts[whole] {
					t.Fatalf("cut at %d: %v, want an unexpected EOF in the block at %d", cut, s.Err(), starts[whole])
				}
			}
		})
	}
}

func TestScannerReadErrors(t *testing.T) {
	file := scanSample(binary.LittleEndian, binary.LittleEndian)
	broken := errors.New("broken disk")
	tests := []struct {
		name   string
		r      io.Reader
		err    error
		blocks int
	}{
		{"at once", iotest.ErrReader(broken), broken, 0},
		{"after all blocks", io.MultiReader(bytes.NewReader(file), iotest.ErrReader(broken)), broken, 22},
		{"with the last bytes", &onceReader{file, broken}, broken, 22},
		{"cut by a decoder", io.MultiReader(bytes.NewReader(file), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF, 22},
		{"no progress", idleReader{}, io.ErrNoProgress, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, types, s := scanAll(tt.r)
			var c *CorruptError
			if !errors.As(s.Err(), &c) || !errors.Is(c, tt.err) || len(types) != tt.blocks {
				t.Errorf("%d blocks, then %v; want %d, then %v", len(types), s.Err(), tt.blocks, tt.err)
			}
		})
	}
}

// onceReader returns its error together with its data, and only once.
type onceReader struct {
	data []byte
	err  error
}

func (r *onceReader) Read(p []byte) (int, error) {
	n, err := copy(p, r.data), r.err
	r.data, r.err = nil, io.EOF
	return n, err
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

// TestScannerLive shows that a packet comes out before the next one is written.
func TestScannerLive(t *testing.T) {
	w := &scanBuilder{endian: binary.LittleEndian}
	w.section()
	w.iface(101, 0)
	pr, pw := io.Pipe()
	s := NewScanner(pr)
	go pw.Write(w.b)
	for range 2 {
		if err := s.Next(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		w.b = nil
		w.enhanced(0, uint64(i), []byte("live"), 4)
		go pw.Write(w.b)
		if err := s.Next(); err != nil || string(s.Packet().Data) != "live" {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
	go pw.Close()
	if err := s.Next(); err != io.EOF {
		t.Fatalf("got %v at the end", err)
	}
}

// slowReader has one byte for every second Read.
type slowReader struct {
	r     io.Reader
	ready bool
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.ready = !r.ready; !r.ready {
		return 0, os.ErrDeadlineExceeded
	}
	return r.r.Read(p[:1])
}

// TestScannerDeadline stops after every byte and goes on.
func TestScannerDeadline(t *testing.T) {
	file := scanSample(binary.LittleEndian, binary.BigEndian)
	want, wantTypes, _ := scanAll(bytes.NewReader(file))
	var got []scanned
	var types []uint32
	s := NewScanner(&slowReader{r: bytes.NewReader(file)})
	stops := 0
	for {
		more, moreTypes, err := scanOn(s)
		got, types = append(got, more...), append(types, moreTypes...)
		if err == io.EOF {
			break
		}
		if err != os.ErrDeadlineExceeded || s.Err() != nil || s.Packet() != nil || s.Body() != nil {
			t.Fatalf("stopped with %v, Err %v, packet %v", err, s.Err(), s.Packet())
		}
		stops++
	}
	if !slices.Equal(got, want) || !slices.Equal(types, wantTypes) {
		t.Errorf("got %v, want %v", got, want)
	}
	if stops != len(file) {
		t.Errorf("stopped %d times in %d bytes", stops, len(file))
	}
}

func TestScannerLargeBlocks(t *testing.T) {
	le := binary.LittleEndian
	for _, size := range []int{scanBufferLen - 4, scanBufferLen, scanBufferLen + 4, MaxBlockLength - 4, MaxBlockLength} {
		w := &scanBuilder{endian: le}
		w.section()
		w.iface(101, 0)
		want := bytes.Repeat([]byte{0xa5, 1, 2, 3}, (size-32)/4)
		w.enhanced(0, 1, want, uint32(len(want)))
		w.enhanced(0, 1, []byte("next"), 4)
		s := NewScanner(bytes.NewReader(w.b))
		for range 3 {
			if err := s.Next(); err != nil {
				t.Fatalf("block of %d bytes: %v", size, err)
			}
		}
		if !bytes.Equal(s.Packet().Data, want) {
			t.Errorf("block of %d bytes: its packet is not what was written", size)
		}
		if err := s.Next(); err != nil || string(s.Packet().Data) != "next" {
			t.Errorf("after a block of %d bytes: %v", size, err)
		}
		if len(s.buf) > MaxBlockLength {
			t.Errorf("block of %d bytes: the buffer has grown to %d", size, len(s.buf))
		}
	}

	w := &scanBuilder{endian: le}
	w.section()
	w.b = le.AppendUint32(le.AppendUint32(w.b, 6), MaxBlockLength)
	w.b = append(w.b, make([]byte, 100)...)
	_, _, s := scanAll(bytes.NewReader(w.b))
	if s.Err() == nil || len(s.buf) > scanBufferLen {
		t.Errorf("a length without data: %v, buffer of %d bytes", s.Err(), len(s.buf))
	}
}
