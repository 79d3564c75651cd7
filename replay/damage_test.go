package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// sample is a small file of n packets, and where its records or blocks begin,
// the end of the file included. Of a pcapng file, 2 blocks come before the
// packets; of a pcap file, none.
func sample(format string, order endian, n int) (file []byte, starts []int, before int) {
	w := &builder{endian: order}
	mark := func() { starts = append(starts, len(w.b)) }
	if format == "pcapng" {
		before = 2
		mark()
		w.section()
		mark()
		w.iface(linkRaw, 9)
		mark()
		for i := range n {
			w.enhanced(0, uint64(i), ipv4(28+i), 28+i)
			mark()
		}
		return w.b, starts, before
	}
	w.pcapHeader(0xa1b23c4d, linkRaw)
	mark()
	for i := range n {
		w.pcapRecord(0, uint32(i), ipv4(28+i), 28+i)
		mark()
	}
	return w.b, starts, before
}

func samplePackets(n int) (want []packet) {
	for i := range n {
		want = append(want, packet{string(ipv4(28 + i)), 28 + i, int64(i)})
	}
	return want
}

// TestCutAtEveryByte: all whole packets come out, then damage at the place
// where the next one begins, or a clean end where there is no next one.
func TestCutAtEveryByte(t *testing.T) {
	const n = 4
	for _, format := range []string{"pcap", "pcapng"} {
		for name, order := range endians {
			t.Run(format+"-"+name, func(t *testing.T) {
				file, starts, before := sample(format, order, n)
				for cut := 4; cut <= len(file); cut++ { // fewer bytes are no capture file
					whole := 0
					for whole < len(starts)-1 && cut >= starts[whole+1] {
						whole++
					}
					r, err := NewReader(bytes.NewReader(file[:cut]), "cut.pcap")
					var got []packet
					if err == nil {
						got, err = readAll(r)
					}
					if want := samplePackets(max(0, whole-before)); !slices.Equal(got, want) {
						t.Fatalf("cut at %d: %d packets, want %d", cut, len(got), len(want))
					}
					if starts[whole] == cut {
						if err != io.EOF {
							t.Fatalf("cut at %d, a clean end: %v", cut, err)
						}
						continue
					}
					wantOffset := int64(starts[whole])
					if cut < starts[0] {
						wantOffset = 0 // in the file header of pcap
					}
					var d *DamageError
					if !errors.As(err, &d) || !errors.Is(err, io.ErrUnexpectedEOF) || d.Offset != wantOffset || d.File != "cut.pcap" {
						t.Fatalf("cut at %d: %v, want an unexpected EOF at %d", cut, err, wantOffset)
					}
					if r != nil {
						if _, _, _, again := r.Next(make([]byte, 100), nil); again != err {
							t.Fatalf("cut at %d: then %v", cut, again)
						}
					}
				}
			})
		}
	}
}

// TestCompressedCutAtEveryByte: what could be decompressed comes out, then
// damage that says what the file is compressed with.
func TestCompressedCutAtEveryByte(t *testing.T) {
	file, _, _ := sample("pcapng", binary.LittleEndian, 4)
	want := samplePackets(4)
	for compression, compress := range map[string]func(testing.TB, []byte) []byte{"gzip": gzipped, "zstd": zstded} {
		t.Run(compression, func(t *testing.T) {
			compressed := compress(t, file)
			for cut := 4; cut < len(compressed); cut++ {
				r, err := NewReader(bytes.NewReader(compressed[:cut]), "cut.gz")
				var got []packet
				if err == nil {
					got, err = readAll(r)
				}
				var d *DamageError
				if !errors.As(err, &d) || d.Compression != compression || !strings.Contains(err.Error(), compression) {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
					t.Fatalf("cut at %d: %d packets that are not those of the file", cut, len(got))
				}
			}
		})
	}
}

func TestDamage(t *testing.T) {
	le := binary.LittleEndian
	pcapFile, pcapStarts, _ := sample("pcap", le, 3)
	ngFile, ngStarts, _ := sample("pcapng", le, 3)
	change := func(file []byte, at int, value uint32) []byte {
		file = bytes.Clone(file)
		le.PutUint32(file[at:], value)
		return file
	}
	gz := gzipped(t, pcapFile)
	gz[len(gz)-8]++ // its checksum
	tests := []struct {
		name    string
		file    []byte
		packets int
		offset  int
		text    string
	}{
		{"pcap record too long", change(pcapFile, pcapStarts[1]+8, maxCaptured+1), 1, pcapStarts[1], "damaged at byte 68: a record of 262145 captured bytes"},
		{"pcap record huge", change(pcapFile, pcapStarts[2]+8, 1<<32-1), 2, pcapStarts[2], "a record of 4294967295 captured bytes"},
		{"pcapng block", change(ngFile, ngStarts[3]+4, 7), 1, ngStarts[3], "impossible block length 7"},
		{"pcap in gzip", gzipped(t, change(pcapFile, pcapStarts[1]+8, 1<<20)), 1, pcapStarts[1], "damaged at byte 68 of the content (decompressed from gzip): a record"},
		{"pcapng in zstd", zstded(t, change(ngFile, ngStarts[3]+4, 7)), 1, ngStarts[3], "of the content (decompressed from zstd): impossible"},
		{"gzip checksum", gz, 3, len(pcapFile), "checksum"},
		{"something behind gzip", append(gzipped(t, pcapFile), "something behind"...), 3, len(pcapFile), "gzip"},
		{"a frame of another kind behind zstd", append(zstded(t, ngFile), "something behind"...), 3, len(ngFile), "zstd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(tt.file), "some.pcap")
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(r)
			var d *DamageError
			if !errors.As(err, &d) || !strings.Contains(err.Error(), tt.text) || d.Offset != int64(tt.offset) {
				t.Errorf("got %v, want %q at %d", err, tt.text, tt.offset)
			}
			if len(got) != tt.packets {
				t.Errorf("%d packets, want %d", len(got), tt.packets)
			}
		})
	}
}

func TestLargestRecord(t *testing.T) {
	w := &builder{endian: binary.LittleEndian}
	w.pcapHeader(0xa1b2c3d4, linkRaw)
	large := concat([]byte{0x45}, make([]byte, maxCaptured-1))
	for range 3 {
		w.pcapRecord(1, 0, large, maxCaptured)
	}
	got, _ := readFile(t, w.b)
	want := slices.Repeat([]packet{{string(large[:65535]), maxCaptured, 1e9}}, 3)
	if !slices.Equal(got, want) {
		t.Errorf("%d packets, not the 3 that were written", len(got))
	}
}

// TestDecompress: the content comes, and then damage at its place there.
func TestDecompress(t *testing.T) {
	file := bulk("pcap", 1000)
	skippable := []byte{0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	for name, stream := range map[string][]byte{
		"": file, "gzip": gzipped(t, file), "zstd": concat(skippable, zstded(t, file), skippable),
	} {
		c, err := Decompress(bytes.NewReader(stream), "some.pcap")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); !bytes.Equal(got, file) || err != nil {
			t.Errorf("%q: %d bytes of %d, %v", name, len(got), len(file), err)
		}
		c.Close()
		if name == "" {
			continue
		}
		if c, err = Decompress(bytes.NewReader(stream[:len(stream)/2]), "cut.pcap"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		var d *DamageError
		if !errors.As(err, &d) || d.File != "cut.pcap" || d.Compression != name || d.Offset != int64(len(got)) || !bytes.HasPrefix(file, got) {
			t.Errorf("%s cut: %d bytes, %v", name, len(got), err)
		}
		c.Close()
	}
	var d *DamageError
	if _, err := Decompress(strings.NewReader("\x1f\x8bjunk"), "junk.gz"); !errors.As(err, &d) || d.File != "junk.gz" {
		t.Error(err)
	}
}

// TestResume: behind a frame that is damaged, wherever that is, the next ones
// come.
func TestResume(t *testing.T) {
	parts := [][]byte{bulk("pcap", 1000), bulk("pcapng", 1000), bytes.Repeat([]byte("three"), 1000)}
	first, second, third := zstded(t, parts[0]), zstded(t, parts[1]), zstded(t, parts[2])
	for at := 0; at < len(second); at += max(1, min(at, len(second)-1-at)/2) {
		hit := bytes.Clone(second)
		hit[at] ^= 0x55
		c, err := Decompress(bytes.NewReader(concat(first, hit, third)), "some")
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		damages := 0
		for more := true; more; {
			part, err := io.ReadAll(c)
			got = append(got, part...)
			if more = err != nil; more {
				damages++
				more = c.Resume()
			}
		}
		if damages == 0 || !bytes.HasPrefix(got, parts[0]) || !bytes.HasSuffix(got, parts[2]) {
			t.Errorf("byte %d of %d hit: %d bytes, %d damages", at, len(second), len(got), damages)
		}
		if c.Resume() {
			t.Error("there is a frame behind the last one")
		}
		c.Close()
	}
}

// TestZstdWindow refuses a frame that would take a gigabyte to decode.
func TestZstdWindow(t *testing.T) {
	// Frame header descriptor 0, window descriptor for 2^30 bytes, an empty last block.
	file := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (30 - 10) << 3, 1, 0, 0}
	var d *DamageError
	if _, err := NewReader(bytes.NewReader(file), "wide.zst"); !errors.As(err, &d) || !strings.Contains(err.Error(), "window") {
		t.Errorf("got %v, want a refusal of the window", err)
	}
}

func FuzzReader(f *testing.F) {
	for _, order := range endians {
		for _, format := range []string{"pcap", "pcapng"} {
			file, _, _ := sample(format, order, 3)
			f.Add(file)
			f.Add(gzipped(f, file))
			f.Add(zstded(f, file))
		}
		for linkType, frames := range linkFrames() {
			w := &builder{endian: order}
			w.pcapHeader(0xa1b2c3d4, uint32(linkType))
			w.pcapRecord(1, 2, frames[0], 100)
			w.pcapRecord(1, 2, frames[1], 100)
			f.Add(w.b)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file), "fuzz")
		if err != nil {
			return
		}
		defer r.Close()
		dst := make([]byte, 200)
		r.Described()
		for {
			n, origLen, _, err := r.Next(dst, nil)
			var d *DamageError
			if err == io.EOF || errors.As(err, &d) {
				return
			}
			if err != nil {
				t.Fatalf("neither end nor damage: %v", err)
			}
			if n < 1 || n > len(dst) || origLen < n {
				t.Fatalf("a packet of %d of %d bytes", n, origLen)
			}
			if v := dst[0] >> 4; v != 4 && v != 6 {
				t.Fatalf("a packet of IP version %d", v)
			}
		}
	})
}

func bulk(format string, n int) []byte {
	w := &builder{endian: binary.LittleEndian}
	data := ipv4(100)
	if format == "pcap" {
		w.pcapHeader(0xa1b2c3d4, linkRaw)
		for i := range n {
			w.pcapRecord(uint32(i), 0, data, len(data))
		}
		return w.b
	}
	w.section()
	w.iface(linkRaw, 9)
	for i := range n {
		w.enhanced(0, uint64(i), data, len(data))
	}
	return w.b
}

func TestNextAllocatesNothing(t *testing.T) {
	for _, format := range []string{"pcap", "pcapng"} {
		r, err := NewReader(bytes.NewReader(bulk(format, 5000)), "bulk")
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 65535)
		if n := testing.AllocsPerRun(4000, func() {
			if _, _, _, err := r.Next(dst, nil); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations per packet", format, n)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	const packets = 100_000
	for _, format := range []string{"pcap", "pcapng"} {
		b.Run(format, func(b *testing.B) {
			file := bulk(format, packets)
			dst := make([]byte, 65535)
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(file), "bulk")
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for ; err == nil; n++ {
					_, _, _, err = r.Next(dst, nil)
				}
				if n != packets+1 || err != io.EOF {
					b.Fatal(n, err)
				}
			}
		})
	}
}
