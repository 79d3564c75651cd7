package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

var endians = map[string]endian{"little": binary.LittleEndian, "big": binary.BigEndian}

type packet struct {
	data     string
	origLen  int
	unixNano int64
}

func readAll(r *Reader) (packets []packet, err error) {
	dst := make([]byte, 65535)
	for {
		n, origLen, unixNano, err := r.Next(dst, nil)
		if err != nil {
			return packets, err
		}
		packets = append(packets, packet{string(dst[:n]), origLen, unixNano})
	}
}

// readFile reads a whole file that has to be without damage.
func readFile(t *testing.T, file []byte) ([]packet, *Reader) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), "test file")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	packets, err := readAll(r)
	if err != io.EOF {
		t.Fatalf("after %d packets: %v", len(packets), err)
	}
	return packets, r
}

// linkFrames are an IPv4 and an IPv6 packet of 60 and 80 bytes, as each
// supported link type carries them.
func linkFrames() map[uint16][2][]byte {
	v4, v6 := ipv4(60), ipv6(80)
	family := func(f ...byte) []byte { return f }
	return map[uint16][2][]byte{
		linkRaw:      {v4, v6},
		linkRaw12:    {v4, v6},
		linkRaw14:    {v4, v6},
		linkIPv4:     {v4, v6},
		linkIPv6:     {v4, v6},
		linkNull:     {concat(family(2, 0, 0, 0), v4), concat(family(0, 0, 0, 30), v6)},
		linkLoop:     {concat(family(0, 0, 0, 2), v4), concat(family(0, 0, 0, 24), v6)},
		linkEthernet: {ethernet(0x0800, nil, v4), ethernet(0x86dd, []uint16{0x88a8, 0x8100, 0x9100}, v6)},
		linkSLL:      {sll(0x0800, v4), sll(0x8100, concat([]byte{0, 7, 0x86, 0xdd}, v6))},
		linkSLL2:     {sll2(0x0800, v4), sll2(0x86dd, v6)},
	}
}

// TestFormats reads every format, in both byte orders, with every link type,
// plain and compressed.
func TestFormats(t *testing.T) {
	const seconds, nanos = 1_700_000_000, 123_456_789
	formats := map[string]struct {
		unit  int64
		write func(w *builder, linkType uint16, frames [2][]byte)
	}{
		"pcap-us": {1000, func(w *builder, linkType uint16, frames [2][]byte) {
			w.pcapHeader(0xa1b2c3d4, uint32(linkType))
			for i, f := range frames {
				w.pcapRecord(seconds+uint32(i), nanos/1000, f, len(f)+1000)
			}
		}},
		"pcap-ns": {1, func(w *builder, linkType uint16, frames [2][]byte) {
			w.pcapHeader(0xa1b23c4d, uint32(linkType)|0x24000000) // with a frame check sequence of 4 bytes
			for i, f := range frames {
				w.pcapRecord(seconds+uint32(i), nanos, f, len(f)+1000)
			}
		}},
		"pcapng": {1, func(w *builder, linkType uint16, frames [2][]byte) {
			w.section()
			w.iface(linkType, 9)
			w.block(0x80000bad, []byte("of local use"))
			for i, f := range frames {
				w.enhanced(0, (seconds+uint64(i))*1e9+nanos, f, len(f)+1000)
			}
			w.block(0x80000bad, []byte("of local use"))
		}},
	}
	compressions := map[string]func(testing.TB, []byte) []byte{
		"":     func(_ testing.TB, b []byte) []byte { return b },
		"gzip": gzipped,
		"zstd": zstded,
	}
	for format, f := range formats {
		for orderName, order := range endians {
			for compression, compress := range compressions {
				t.Run(format+"-"+orderName+"-"+compression, func(t *testing.T) {
					for linkType, frames := range linkFrames() {
						w := &builder{endian: order}
						f.write(w, linkType, frames)
						got, r := readFile(t, compress(t, w.b))
						want := make([]packet, 2)
						for i, ip := range [][]byte{ipv4(60), ipv6(80)} {
							origLen := len(ip) // the IP header knows it
							if !slices.Contains([]uint16{linkEthernet, linkSLL, linkSLL2}, linkType) {
								origLen += 1000
							}
							want[i] = packet{string(ip), origLen, (seconds+int64(i))*1e9 + nanos/f.unit*f.unit}
						}
						if !slices.Equal(got, want) {
							t.Errorf("link type %d:\n got %#v\nwant %#v", linkType, got, want)
						}
						if r.Skipped().Total() != 0 {
							t.Errorf("link type %d: %v", linkType, r.Skipped())
						}
						if r.in.compression != compression {
							t.Errorf("compression is %q, want %q", r.in.compression, compression)
						}
					}
				})
			}
		}
	}
}

func TestInterfacesOfOneFile(t *testing.T) {
	w := &builder{endian: binary.LittleEndian}
	w.section()
	w.iface(linkEthernet, 6)
	w.iface(linkRaw, 9)
	w.enhanced(1, 1, ipv4(40), 40)
	w.enhanced(0, 1, ethernet(0x0800, nil, ipv4(41)), 55)
	w.simple(ethernet(0x86dd, nil, ipv6(42)), 56)
	w.endian = binary.BigEndian
	w.section()
	w.iface(linkSLL, 3)
	w.enhanced(0, 1, sll(0x0800, ipv4(43)), 59)
	got, _ := readFile(t, w.b)
	want := []packet{
		{string(ipv4(40)), 40, 1},
		{string(ipv4(41)), 41, 1000},
		{string(ipv6(42)), 42, 0},
		{string(ipv4(43)), 43, 1_000_000},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %#v\nwant %#v", got, want)
	}
}

// TestPcapgo reads what gopacket's writers write.
func TestPcapgo(t *testing.T) {
	at := time.Unix(1_700_000_000, 123_456_000).UTC()
	frame := ethernet(0x0800, []uint16{0x8100}, ipv4(100))
	info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame)}
	for name, newWriter := range map[string]func(io.Writer) (func() error, error){
		"pcap": func(out io.Writer) (func() error, error) {
			w := pcapgo.NewWriter(out)
			return func() error { return w.WritePacket(info, frame) }, w.WriteFileHeader(65535, layers.LinkTypeEthernet)
		},
		"pcap-ns": func(out io.Writer) (func() error, error) {
			w := pcapgo.NewWriterNanos(out)
			return func() error { return w.WritePacket(info, frame) }, w.WriteFileHeader(65535, layers.LinkTypeEthernet)
		},
		"pcapng": func(out io.Writer) (func() error, error) {
			w, err := pcapgo.NewNgWriter(out, layers.LinkTypeEthernet)
			return func() error { return errors.Join(w.WritePacket(info, frame), w.Flush()) }, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			write, err := newWriter(&file)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := write(); err != nil {
					t.Fatal(err)
				}
			}
			got, _ := readFile(t, file.Bytes())
			want := slices.Repeat([]packet{{string(ipv4(100)), 100, at.UnixNano()}}, 3)
			if !slices.Equal(got, want) {
				t.Errorf("got %#v\nwant %#v", got, want)
			}
		})
	}
}

func TestPacketIsCutToDst(t *testing.T) {
	w := &builder{endian: binary.LittleEndian}
	w.pcapHeader(0xa1b2c3d4, linkRaw)
	w.pcapRecord(1, 0, ipv4(100), 100)
	w.pcapRecord(2, 0, ipv4(30), 30)
	r, err := NewReader(bytes.NewReader(w.b), "test file")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Next(nil, nil); err != io.ErrShortBuffer {
		t.Errorf("into no buffer: %v", err)
	}
	dst := make([]byte, 60)
	for _, want := range []struct{ n, origLen int }{{60, 100}, {30, 30}} {
		n, origLen, _, err := r.Next(dst, nil)
		if n != want.n || origLen != want.origLen || err != nil {
			t.Errorf("got %d of %d, %v, want %+v", n, origLen, err, want)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	le, be := binary.LittleEndian, binary.BigEndian
	modified := le.AppendUint32(nil, 0xa1b2cd34)
	oldVersion := &builder{endian: le}
	oldVersion.pcapHeader(0xa1b2c3d4, linkRaw)
	oldVersion.b[6] = 2
	tests := []struct {
		path, want string
	}{
		{write("empty", nil), "is empty"},
		{write("empty.gz", gzipped(t, nil)), "is empty"},
		{write("short", []byte{0xa1}), "neither pcap nor pcapng: it begins with a1"},
		{write("text", []byte("some text")), "neither pcap nor pcapng: it begins with 73 6f 6d 65"},
		{write("modified", modified), "modified kind"},
		{write("modified-big", be.AppendUint32(nil, 0xa1b2cd34)), "modified kind"},
		{write("version", oldVersion.b), "version 2.2"},
		{write("header", oldVersion.b[:10]), "damaged at byte 0: cut off: 10 of 24"},
		{write("xz", []byte("\xfd7zXZ\x00rest")), "compressed with xz"},
		{write("bad.gz", []byte("\x1f\x8bxxxxxxxxxxxxx")), "damaged at byte 0 of the content (decompressed from gzip)"},
		{write("bad.zst", []byte("\x28\xb5\x2f\xfd")), "damaged at byte 0 of the content (decompressed from zstd)"},
		{dir, "is a directory"},
		{filepath.Join(dir, "missing"), "no such file"},
	}
	for _, tt := range tests {
		r, err := Open(tt.path)
		if r != nil || err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.path) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}

	header := &builder{endian: le}
	header.pcapHeader(0xa1b2c3d4, linkRaw)
	header.pcapRecord(1, 0, ipv4(100), 100)
	r, err := Open(write("good", header.b))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Next(make([]byte, 100), nil); err != nil {
		t.Error(err)
	}
	if dropped, exact, err := r.Drops(); dropped != 0 || !exact || err != nil {
		t.Errorf("drops: %d, %v, %v", dropped, exact, err)
	}
	r.Wake()
	if err := r.Wait(time.Hour); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, _, _, err := r.Next(make([]byte, 100), nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := r.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestConcatenatedCompression(t *testing.T) {
	w := &builder{endian: binary.LittleEndian}
	w.pcapHeader(0xa1b2c3d4, linkRaw)
	for i := range 100 {
		w.pcapRecord(uint32(i), 0, ipv4(100), 100)
	}
	third := len(w.b) / 3
	skippable := binary.LittleEndian.AppendUint32([]byte{0x5a, 0x2a, 0x4d, 0x18}, 3)
	files := map[string][]byte{
		"gzip":          concat(gzipped(t, w.b[:third]), gzipped(t, w.b[third:])),
		"zstd":          concat(zstded(t, w.b[:third]), zstded(t, nil), zstded(t, w.b[third:])),
		"zstd-skipping": concat(skippable, []byte("abc"), zstded(t, w.b), skippable, []byte("def")),
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			if got, _ := readFile(t, file); len(got) != 100 {
				t.Errorf("%d packets, want 100", len(got))
			}
		})
	}
}

func TestStandardInput(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	stdin := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = stdin }()

	w := &builder{endian: binary.LittleEndian}
	w.pcapHeader(0xa1b2c3d4, linkRaw)
	w.pcapRecord(1, 0, ipv4(100), 100)
	if _, err := out.Write(w.b); err != nil {
		t.Fatal(err)
	}
	r, err := Open("-")
	if err != nil {
		t.Fatal(err)
	}
	// The pipe is still open: a packet has to come out as soon as it is there.
	if n, _, _, err := r.Next(make([]byte, 200), nil); n != 100 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	out.Write([]byte("half"))
	out.Close()
	if _, _, _, err := r.Next(make([]byte, 200), nil); err == nil || err.Error() != "standard input is damaged at byte 140: cut off: 4 of 16 bytes are there" {
		t.Errorf("got %v at the end", err)
	}
	if err := errors.Join(r.Close(), in.Close()); err != nil {
		t.Errorf("Close has closed standard input: %v", err)
	}
}
