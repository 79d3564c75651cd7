package extract

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
)

// Format is how packets are written.
type Format struct {
	Form    capfile.Form
	Method  capfile.Method // of what is compressed; in the zstd form and in Frames
	Section pcapng.Section
	// Recompress compresses also chunks that could be copied as they are.
	Recompress bool
	// Frames is the second zstd form: a frame for every 4 MiB of a section
	// without marks and index. Form does not count then.
	Frames bool
}

// repacks tells whether packets are put into chunks anew.
func (f *Format) repacks() bool { return f.Frames }

// chunkBytes is the most that the content of a chunk has which is put together,
// but for a single packet that is longer.
func (f *Format) chunkBytes() int {
	if f.Frames {
		return frameBytes
	}
	return slabBytes
}

// output is a file that is being written. prepare may be called from several
// goroutines, the rest is for one.
type output struct {
	*capfile.Writer
	format      Format
	window      int
	frames      *frames // nil: another form
	compressors *sync.Pool
}

func newOutput(f capfile.File, format Format, window int) (output, error) {
	o := output{format: format, window: window}
	o.compressors = &sync.Pool{New: func() any { return capfile.NewCompressor(window) }}
	form := format.Form
	if format.Frames {
		form = capfile.Stream
		var err error
		if o.frames, err = newFrames(f, format.Method); err != nil {
			return o, err
		}
		f = o.frames
	}
	var err error
	o.Writer, err = capfile.NewWriter(f, capfile.Config{Form: form, WindowBytes: window, Section: format.Section})
	return o, err
}

// takes tells whether the chunk of a piece can be written as it is.
func (o *output) takes(p *piece) bool {
	return o.format.Form == capfile.Zstd && !o.format.Frames && !o.format.Recompress &&
		p.file.Foreign == nil && p.file.Info.Form == capfile.Zstd
}

// prepare makes a piece ready to be written.
func (x *extraction) prepare(p *piece) *piece {
	o := &x.out
	switch {
	case p.ready:
	case o.frames != nil:
		p.memory.encoded = o.frames.encoder.EncodeAll(p.chunk.Content, p.memory.encoded[:0])
	case o.format.Form == capfile.Zstd:
		z := o.compressors.Get().(*capfile.Compressor)
		defer o.compressors.Put(z)
		m := o.format.Method
		var buf []byte // where it was read
		if p.dense && !o.format.Recompress {
			m = capfile.Stored // to try again takes longer than much of a short extraction
		}
		if room := capfile.EncodedCap(len(p.chunk.Content)); m != capfile.Stored || room > int(p.entry.StoredLen) {
			if cap(p.memory.encoded) < room {
				p.memory.encoded = make([]byte, 0, room)
			}
			buf = p.memory.encoded
		}
		p.err = z.Compress(p.chunk, m, buf)
	default:
		p.chunk.Hash()
	}
	return p
}

func (o *output) write(p *piece) error {
	if o.frames != nil && len(p.chunk.Content) > 0 { // else nothing is written
		o.frames.ready = p.memory.encoded
	}
	return o.WriteChunk(p.chunk)
}

// frameBytes is the content of a frame of the second zstd form.
const frameBytes = 4 << 20

// frames makes every write a zstd frame of its own, with its size and checksum.
// Wireshark from 4.4 on goes back to the beginning of a frame, not of the file.
//
// Wireshark reads 4 MiB of the file at a time, from its begin on or from that of
// a frame it has gone to. A frame that ends 1 to 3 bytes before the end of what
// it has read makes it take the rest for damaged (seen with 4.4.18 and 4.6.9).
// So no frame ends there, for any begin: it is made longer by empty blocks.
type frames struct {
	w       io.Writer
	encoder *zstd.Encoder
	ready   []byte // the next write, compressed already; nil: it is not
	offset  uint64
	begins  [readWindow / 64]uint64 // a bit for each place in the window where a frame begins
}

const readWindow = 4 << 20

// framesAtOnce is as many as parallel works on, by their weight. Each has an
// encoder that keeps some frames' length of memory.
const framesAtOnce = stageUnits * unitBytes / (2 * frameBytes)

func newFrames(w io.Writer, m capfile.Method) (*frames, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevel(m)), zstd.WithWindowSize(frameBytes),
		zstd.WithEncoderCRC(true), zstd.WithLowerEncoderMem(true), zstd.WithEncoderConcurrency(framesAtOnce))
	if err != nil {
		return nil, fmt.Errorf("make a zstd encoder of level %v: %w", m, err)
	}
	return &frames{w: w, encoder: e}, nil
}

// Write writes b as one frame.
func (f *frames) Write(b []byte) (int, error) {
	frame := f.ready
	f.ready = nil
	if len(b) == 0 {
		return 0, nil
	}
	if frame == nil {
		frame = f.encoder.EncodeAll(b, nil)
	}
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return 0, err
	}
	f.mark(f.offset)
	padding := 0
	for f.refused(f.offset + uint64(len(frame)+padding)) {
		padding += emptyBlockLen
	}
	for _, part := range [][]byte{frame[:h.HeaderSize], make([]byte, padding), frame[h.HeaderSize:]} {
		n, err := f.w.Write(part)
		f.offset += uint64(n)
		if err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// emptyBlockLen is the length of an empty raw block, which is all zero
// (RFC 8878 §3.1.1.2).
const emptyBlockLen = 3

func (f *frames) mark(begin uint64) {
	at := begin % readWindow
	f.begins[at/64] |= 1 << (at % 64)
}

// refused tells whether a frame must not end there.
func (f *frames) refused(end uint64) bool {
	for before := uint64(1); before <= 3; before++ {
		at := (end + before) % readWindow
		if f.begins[at/64]>>(at%64)&1 == 1 {
			return true
		}
	}
	return false
}

// Truncate is never asked for: to the Writer this is a stream.
func (f *frames) Truncate(int64) error { return io.ErrShortWrite }
