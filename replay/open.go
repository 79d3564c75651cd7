package replay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/pcapng"
)

const (
	// inputBufferLen is for the decoders, which read in small pieces; larger
	// reads go past the buffer.
	inputBufferLen = 64 << 10

	// maxWindow bounds the memory of the zstd decoder; the zstd command has
	// the same bound where --long does not raise it.
	maxWindow = 128 << 20
	// commonWindow is the longest one of zstd's levels up to 19. A frame may have
	// that much, even where the file's first one needs less.
	commonWindow = 8 << 20
)

// ErrNoCapture: the file is none of pcap and pcapng, or of a kind of them that
// is not read here.
var ErrNoCapture = errors.New("not a capture file that can be read")

// noCapture is an ErrNoCapture that says what the file is.
type noCapture struct{ text string }

func (e *noCapture) Error() string        { return e.text }
func (e *noCapture) Is(target error) bool { return target == ErrNoCapture }

func isNoCapture(format string, args ...any) error {
	return &noCapture{fmt.Sprintf(format, args...)}
}

// Open opens the capture file at path, or standard input if path is "-".
// The error is that of opening or reading the file, or, as an ErrNoCapture, says
// what else the file is than a capture that can be read.
//
// It reads the first bytes, so it waits for them on a pipe, and for somebody
// to write on a FIFO. Nothing but a signal that ends the process ends that:
// catch signals only after Open.
func Open(path string) (*Reader, error) {
	if path == "-" {
		return NewReader(os.Stdin, "standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.in.file = f
	return r, nil
}

// NewReader is Open for a stream; name stands for it in errors. Close leaves
// the stream open. Of a stream that is not an *os.File it is not known when a
// read waits: Next then waits for its data.
func NewReader(stream io.Reader, name string) (*Reader, error) {
	r := &Reader{in: &input{name: name}, skipped: Skipped{}}
	var err error
	if r.source, err = r.in.open(stream); err != nil {
		r.in.close()
		return nil, r.in.named(err)
	}
	return r, nil
}

// input is the decompressed stream and what has to be closed after it.
type input struct {
	*bufio.Reader
	name        string
	compression string
	compressed  *bufio.Reader // what the decoder reads from
	decoder     *zstd.Decoder
	window      int   // bytes that the decoder may take
	live        *live // what Reader reads from in the end, if that may have to wait
	pump        *pump // between live and the decoder
	file        *os.File
}

func (in *input) open(stream io.Reader) (source, error) {
	if f, ok := stream.(*os.File); ok && isLive(f) {
		var err error
		if in.live, err = newLive(f); err != nil {
			return nil, err
		}
		stream = in.live
	}
	if err := in.decompress(stream); err != nil {
		return nil, err
	}
	source, err := newSource(in)
	if in.live != nil {
		in.live.patient = false // from now on there is Wait
	}
	return source, err
}

// named adds to a DamageError which file it is about.
func (in *input) named(err error) error {
	if d, ok := err.(*DamageError); ok {
		d.File, d.Compression = in.name, in.compression
	}
	return err
}

func (in *input) close() error {
	var err error
	switch {
	case in.pump != nil:
		err = in.pump.close()
	case in.live != nil:
		err = in.live.close()
	}
	if in.decoder != nil && in.decoder.Reset(nil) == nil {
		spare.Store(&decoder{in.decoder, in.window})
		in.decoder = nil
	}
	if in.file != nil {
		err = errors.Join(err, in.file.Close())
	}
	return err
}

// unreadable are compressions, named as their commands are, that are only known.
var unreadable = []struct{ magic, name string }{
	{"\xfd7zXZ\x00", "xz"},
	{"BZh", "bzip2"},
	{"\x04\x22\x4d\x18", "lz4"},
}

// decompress finds out what stream is compressed with and takes that off.
func (in *input) decompress(stream io.Reader) error {
	in.Reader = bufio.NewReaderSize(stream, inputBufferLen)
	head, err := in.Peek(6)
	if err != nil && err != io.EOF {
		return err
	}
	in.compressed = in.Reader
	var decoded io.Reader
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		in.compression = "gzip"
		decoded, err = gzip.NewReader(in.Reader)
	case isZstd(head):
		in.compression = "zstd"
		in.window = windowOf(in.Reader)
		in.decoder, err = newDecoder(in.Reader, in.window)
		decoded = in.decoder
	default:
		for _, u := range unreadable {
			if bytes.HasPrefix(head, []byte(u.magic)) {
				return isNoCapture("%s is compressed with %s, which is not read here: try %s -dc FILE | tunrec -r -", in.name, u.name, u.name)
			}
		}
		return nil
	}
	if err != nil {
		return &DamageError{Reason: err.Error(), Err: err}
	}
	if in.live != nil {
		if in.pump, err = startPump(decoded, in.live); err != nil {
			return err
		}
		decoded, in.live = in.pump, in.pump.live
	}
	in.Reader = bufio.NewReaderSize(decoded, inputBufferLen)
	return nil
}

// windowOf returns how much memory the frames of a zstd stream may take: as much
// as the first one asks for.
func windowOf(in *bufio.Reader) int {
	head, _ := in.Peek(zstd.HeaderMaxSize)
	var h zstd.Header
	if h.Decode(head) != nil || h.Skippable {
		return maxWindow
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	return int(min(max(window, commonWindow), maxWindow))
}

// decoder is a zstd decoder that takes windows up to that length.
type decoder struct {
	*zstd.Decoder
	window int
}

// spare is the decoder of the file that was closed last. A file is often opened
// several times, to look at it, to find its end, and to read it: where the
// window is maxWindow long, another decoder for each would take a lot of memory.
var spare atomic.Pointer[decoder]

// newDecoder returns a decoder that works in the goroutine that reads from it:
// none is left behind.
func newDecoder(r io.Reader, window int) (*zstd.Decoder, error) {
	if d := spare.Swap(nil); d != nil && d.window == window {
		return d.Decoder, d.Reset(r)
	}
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)))
}

const zstdFrame = 0xFD2FB528

// isZstd knows a frame and a skippable frame (RFC 8878 §3.1).
func isZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	magic := binary.LittleEndian.Uint32(head)
	return magic == zstdFrame || magic&^0xf == 0x184D2A50
}

// Magic numbers of pcap files (draft-ietf-opsawg-pcap §4), and of one variant
// with a longer record header.
const (
	pcapMicroseconds uint32 = 0xA1B2C3D4
	pcapNanoseconds  uint32 = 0xA1B23C4D
	pcapModified     uint32 = 0xA1B2CD34
)

// newSource finds out what format the stream has.
func newSource(in *input) (source, error) {
	head, err := in.Peek(4)
	switch {
	case err != nil && err != io.EOF:
		return nil, &DamageError{Reason: readReason(err, len(head), 4), Err: err}
	case len(head) == 0:
		return nil, isNoCapture("%s is empty", in.name)
	case len(head) < 4:
		return nil, notACapture(in, head)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(head) {
		case pcapng.BlockSectionHeader:
			return &pcapngSource{scanner: pcapng.NewScanner(in)}, nil
		case pcapMicroseconds:
			return newPcapSource(in, order, 1000)
		case pcapNanoseconds:
			return newPcapSource(in, order, 1)
		case pcapModified:
			return nil, isNoCapture("%s is a pcap file of the modified kind (magic a1b2cd34), which is not read here: try editcap -F pcapng", in.name)
		}
	}
	return nil, notACapture(in, head)
}

func notACapture(in *input, head []byte) error {
	return isNoCapture("%s is neither pcap nor pcapng: it begins with % x", in.name, head)
}
