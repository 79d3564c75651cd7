package capfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

const (
	zstdMagic       = 0xFD2FB528
	zstdHeaderLen   = 6 // magic, frame header descriptor, window descriptor
	zstdChecksumLen = 4

	zstdContentChecksum = 1 << 2 // frame header descriptor: checksum, no content size, no dictionary
)

// File is what a Writer needs of the file it writes. Write appends to the end
// of the file, also after Truncate (O_APPEND). Truncate is called only after a
// failed write, never in the Stream form.
type File interface {
	io.Writer
	Truncate(size int64) error
}

// Config tells a Writer what to write. The zero value is the zstd form with a
// window of 1 MiB and an empty description.
type Config struct {
	Form        Form
	WindowBytes int // Zstd: a power of two from 1 MiB to 8 MiB, the compressors'; 0: 1 MiB
	Section     pcapng.Section
}

// Writer writes one capture file: header, chunks in the order they are given,
// statistics, index. The first error sticks: every later call returns it,
// but for Close, which still tries to end the file well.
//
// After a failed write the file is cut back to the end of the last whole
// chunk, so that it stays readable.
type Writer struct {
	f    File
	form Form
	err  error
	torn bool // a failed write was not undone: nothing may follow it

	// What append has put together and commit is to write: as it stands on
	// disk, and in the section.
	buf, staged []byte

	size     uint64 // bytes on disk
	content  uint64 // bytes of the section
	checksum *xxhash.Digest
	totals   pcapng.Statistics

	entries  []Entry // those that no index block has listed yet
	listed   uint64  // how many have been
	previous uint64  // where the latest index block is
}

// NewWriter writes the file's header to f and returns a Writer for the rest.
// On an error nothing is left to be closed but f.
func NewWriter(f File, c Config) (*Writer, error) {
	if c.WindowBytes == 0 {
		c.WindowBytes = WindowBytes(0)
	}
	if c.Form == Zstd && c.WindowBytes != WindowBytes(c.WindowBytes) {
		return nil, fmt.Errorf("window of %d bytes: has to be a power of two from 1 MiB to 8 MiB", c.WindowBytes)
	}
	section, err := c.Section.Encode()
	if err != nil {
		return nil, err
	}
	w := &Writer{f: f, form: c.Form, checksum: xxhash.New()}
	if w.form == Zstd {
		w.buf = binary.LittleEndian.AppendUint32(w.buf, zstdMagic)
		w.buf = append(w.buf, zstdContentChecksum, byte((bits.Len(uint(c.WindowBytes))-11)<<3))
	}
	w.append(section, false)
	if err := w.commit(); err != nil {
		return nil, err
	}
	return w, nil
}

// append adds whole pcapng blocks to what commit will write.
func (w *Writer) append(blocks []byte, last bool) {
	w.staged = append(w.staged, blocks...)
	if w.form != Zstd {
		w.buf = append(w.buf, blocks...)
		return
	}
	for len(blocks) > zstdblock.Max {
		w.buf = zstdblock.AppendRaw(w.buf, blocks[:zstdblock.Max], false)
		blocks = blocks[zstdblock.Max:]
	}
	w.buf = zstdblock.AppendRaw(w.buf, blocks, last)
}

// commit writes what append has added. Nothing of it counts where that fails.
func (w *Writer) commit() error {
	err := w.write(w.buf)
	if err == nil {
		w.content += uint64(len(w.staged))
		w.checksum.Write(w.staged)
	}
	w.buf, w.staged = w.buf[:0], w.staged[:0]
	return err
}

// write writes all parts, each at once, or nothing of them where that is possible.
func (w *Writer) write(parts ...[]byte) error {
	n := 0
	for _, part := range parts {
		written, err := w.f.Write(part)
		n += written
		if err != nil {
			w.err = err
			w.torn = w.form != Stream || n > 0
			if merr := w.mend(); merr != nil {
				err = errors.Join(err, merr)
			}
			return err
		}
	}
	w.size += uint64(n)
	return nil
}

// mend cuts off what a failed write has left behind the last whole chunk, also where
// the system says that it has written nothing: it may be wrong.
func (w *Writer) mend() error {
	if !w.torn || w.form == Stream {
		return nil
	}
	if err := w.f.Truncate(int64(w.size)); err != nil {
		return err
	}
	w.torn = false
	return nil
}

// Torn reports whether a failed write could not be undone: the file may end with a part
// of a chunk.
func (w *Writer) Torn() bool { return w.torn }

// WriteChunk writes one chunk, which Compressor.Compress (form Zstd) or
// Chunk.Hash (others) has made ready, and sets its offsets and stored length.
// It does not keep the chunk.
func (w *Writer) WriteChunk(c *Chunk) error {
	if w.err != nil {
		return w.err
	}
	if w.form == Stream {
		if err := w.write(c.Content); err != nil {
			return err
		}
		c.addTo(&w.totals)
		return nil
	}
	if len(w.entries) == MaxIndexEntries {
		if err := w.writeIndex(); err != nil {
			return err
		}
	}
	c.FileOffset, c.ContentOffset, c.StoredLen = w.size, w.content, uint32(c.storedLen(w.form))
	var mark [MarkLen]byte
	putMark(mark[:], Plain, &c.Entry)
	if w.form == Zstd {
		putMark(c.encoded, Zstd, &c.Entry)
		if err := w.write(c.encoded); err != nil {
			return err
		}
		w.checksum.Write(mark[:]) // the bytes that the zstd mark decodes to
		w.checksum.Write(c.Content)
	} else if err := w.write(mark[:], c.Content); err != nil {
		return err
	}
	w.content += uint64(MarkLen + len(c.Content))
	c.addTo(&w.totals)
	w.entries = append(w.entries, c.Entry)
	return nil
}

// Size returns how many bytes the file has now.
func (w *Writer) Size() uint64 { return w.size }

// SizeWith returns how many bytes the file would have after WriteChunk(c) and
// Close: what a limit on its size has to be compared with. c may be nil.
func (w *Writer) SizeWith(c *Chunk) uint64 {
	size := w.size + pcapng.StatisticsLen
	if w.form == Stream {
		if c != nil {
			size += uint64(len(c.Content))
		}
		return size
	}
	entries := len(w.entries)
	if c != nil {
		entries++
		size += uint64(c.storedLen(w.form))
	}
	blocks := 1
	if entries >= MaxIndexEntries { // a full block, and the last one
		blocks = 2
	}
	size += uint64(blocks*indexOverhead + entries*EntryLen)
	if w.form == Zstd {
		size += uint64((blocks+1)*zstdblock.HeaderLen + zstdChecksumLen)
	}
	return size
}

// nextBlock is where in the file a pcapng block stands that is appended next.
func (w *Writer) nextBlock() uint64 {
	at := w.size + uint64(len(w.buf))
	if w.form == Zstd {
		at += zstdblock.HeaderLen
	}
	return at
}

// writeIndex writes a full index block.
func (w *Writer) writeIndex() error {
	at := w.nextBlock()
	w.appendIndex(0, false)
	if err := w.commit(); err != nil {
		return err
	}
	w.previous = at
	w.listed += uint64(len(w.entries))
	w.entries = w.entries[:0]
	return nil
}

// appendIndex adds an index block of the entries at hand.
func (w *Writer) appendIndex(statistics uint64, last bool) {
	w.append(appendIndexBlock(nil, indexHeader{
		previous: w.previous, first: w.listed, statistics: statistics,
		contentOffset: w.content + uint64(len(w.staged)),
	}, w.entries), last)
}

// End is what a Writer cannot know of the recording whose file it closes.
type End struct {
	Start, Stop int64  // when it started and stopped, ns since 1970-01-01 00:00 UTC
	Lost        uint64 // packets of chunks that could not be written
	Counts      Entry  // what these chunks count of others (see Entry.AddCounts)
}

// Totals adds up what the chunks written so far say, and end, into the counts
// of an Interface Statistics Block.
func (w *Writer) Totals(end End) pcapng.Statistics {
	t := w.totals
	t.Start, t.End = end.Start, end.Stop
	var lost Entry
	lost.AddCounts(&end.Counts)
	lost.AddCounts(&Entry{Dropped: end.Lost})
	lost.addTo(&t)
	return t
}

// addTo adds what the chunk counts to the totals of its file.
func (e *Entry) addTo(t *pcapng.Statistics) {
	t.Delivered += uint64(e.Packets)
	t.OSDropped += e.DroppedByQueue
	t.Dropped += e.DroppedByQueue + e.Dropped
	t.FilterAccept += uint64(e.Packets) + e.Dropped
	t.Received += uint64(e.Packets) + e.Dropped + e.DroppedByQueue + e.Filtered
}

// Close ends the file with statistics, index and checksum. It does not close
// the file below. After a failed write it still does so, since what has been
// written deserves its index; its error is its own, not that of the write, but where
// that could not be undone. After an error Close may be called again.
func (w *Writer) Close(end End) error {
	if w.err == errClosed {
		return w.err
	}
	if err := w.mend(); err != nil {
		return err
	}
	if w.torn { // a stream
		return w.err
	}
	if len(w.entries) == MaxIndexEntries {
		if err := w.writeIndex(); err != nil {
			return err
		}
	}
	statistics := w.nextBlock()
	w.append(w.Totals(end).Append(nil), false)
	if w.form != Stream {
		w.appendIndex(statistics, true)
	}
	if w.form == Zstd {
		sum := *w.checksum
		sum.Write(w.staged)
		w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(sum.Sum64()))
	}
	if err := w.commit(); err != nil {
		return err
	}
	w.err = errClosed
	return nil
}

var errClosed = errors.New("capture file is closed")
