package capfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"syscall"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/pcapng"
)

// Buffer is the memory that chunks are read into, one after the other: up to
// about 35 MiB for the largest ones. The zero value is ready.
type Buffer struct{ stored, decoded []byte }

// Len returns how many bytes of memory the Buffer holds.
func (b *Buffer) Len() int { return cap(b.stored) + cap(b.decoded) }

// Packet is one recorded packet.
type Packet struct {
	UnixNano int64  // when it came, ns since 1970-01-01 00:00 UTC
	Data     []byte // from the IP header on, as much as was kept
	OrigLen  int    // its length on the wire in bytes
}

// ReadChunk reads the chunk that e, which Chunks has returned, describes, and
// decompresses it. What it returns are the chunk's pcapng blocks, checked
// against their hash; see pcapng.ParsePacket. They are valid until b is used
// again. The error is one of reading or a *CorruptError; it says nothing of
// other chunks.
func (r *Reader) ReadChunk(e Entry, b *Buffer) ([]byte, error) {
	content, err := r.readChunk(&e, b)
	if err != nil {
		return nil, r.named(err)
	}
	return content, nil
}

// Packets goes through the packets from one time to another, both inclusive
// (ns since 1970-01-01 00:00 UTC), in the order of the file. Chunks that have
// none of them are not read, nor are the entries of groups that have none.
// Data is valid until the next packet.
//
// An error, of reading or a *CorruptError, stands for a chunk that cannot be
// read, or the rest of it; the packets of the next chunk follow.
func (r *Reader) Packets(from, to int64) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		var b Buffer
		for e, err := range r.between(from, to) {
			var content []byte
			if err == nil {
				content, err = r.ReadChunk(e, &b)
			}
			if err != nil && !yield(Packet{}, err) {
				return
			}
			for len(content) > 0 {
				p, length, ok := pcapng.ParsePacket(content)
				if !ok {
					err := corrupt(int64(e.FileOffset), "%d bytes before its end the chunk has no packet block", len(content))
					if !yield(Packet{}, r.named(err)) {
						return
					}
					break
				}
				data := content[pcapng.PacketHeaderLen:][:p.CapLen:p.CapLen]
				if from <= p.UnixNano && p.UnixNano <= to && !yield(Packet{p.UnixNano, data, p.OrigLen}, nil) {
					return
				}
				content = content[length:]
			}
		}
	}
}

// between goes through the entries of the chunks that may have packets from one
// time to another, both inclusive.
func (r *Reader) between(from, to int64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for g := range r.Groups() {
			if g.Latest < from || g.Earliest > to {
				continue
			}
			for e, err := range g.Chunks() {
				if err == nil && (e.Packets == 0 || e.Latest < from || e.Earliest > to) {
					continue
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// Prefetch asks the system to read the chunk that e describes ahead, and does not wait:
// where it can be asked, and the file is one.
func (r *Reader) Prefetch(e Entry) {
	f, ok := r.f.(syscall.Conn)
	if !ok {
		return
	}
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { prefetch(fd, int64(e.FileOffset), int64(e.StoredLen)) })
	}
}

func (r *Reader) readChunk(e *Entry, b *Buffer) ([]byte, error) {
	at := int64(e.FileOffset)
	if at < 0 || int64(e.StoredLen) > r.info.Size-at {
		return nil, cutShort(at, "the chunk that begins there is not whole")
	}
	chunk, err := r.readStored(e, b)
	if err == nil && r.info.Form == Zstd {
		chunk, err = decompress(chunk, e, b)
	}
	if err != nil {
		return nil, err
	}
	var mark [MarkLen]byte
	putMark(mark[:], Plain, e)
	if len(chunk) != MarkLen+int(e.ContentLen) || !bytes.HasPrefix(chunk, mark[:]) {
		return nil, corrupt(at, "the chunk that begins there is not the one that the index describes")
	}
	content := chunk[MarkLen:]
	if got := xxhash.Sum64(content); got != e.Hash {
		return nil, corrupt(at, "the hash of the chunk that begins there is %016x, its bytes give %016x", e.Hash, got)
	}
	return content, nil
}

// readStored reads a chunk as it stands in the file: in the zstd form with
// what makes it a frame of its own.
func (r *Reader) readStored(e *Entry, b *Buffer) ([]byte, error) {
	b.stored = room(b.stored, zstdHeaderLen+int(e.StoredLen)+zstdblock.HeaderLen)
	if r.info.Form == Zstd {
		b.stored = binary.LittleEndian.AppendUint32(b.stored, zstdMagic)
		b.stored = append(b.stored, 0, r.header.window)
	}
	head := len(b.stored)
	b.stored = b.stored[:head+int(e.StoredLen)]
	if _, err := r.f.ReadAt(b.stored[head:], int64(e.FileOffset)); err != nil {
		return nil, fmt.Errorf("read the chunk at byte %d: %w", e.FileOffset, err)
	}
	if r.info.Form == Zstd {
		b.stored = zstdblock.AppendRaw(b.stored, nil, true)
	}
	return b.stored, nil
}

// room returns memory for n bytes: b, where that is enough. Chunks are of about one
// length, so what is made for one is to do for the next. It is not written to,
// as slices.Grow does: much of what a short extraction costs is to touch memory.
func room(b []byte, n int) []byte {
	const step = 64 << 10
	if cap(b) < n {
		b = make([]byte, (n+step-1)/step*step)
	}
	return b[:0]
}

// decompress decodes a frame that is one chunk, to no more than the chunk's
// length.
func decompress(frame []byte, e *Entry, b *Buffer) ([]byte, error) {
	n := MarkLen + int(e.ContentLen)
	shared := decoder
	if n > keptBuffer {
		shared = longDecoder
	}
	d, err := shared()
	if err != nil {
		return nil, err
	}
	b.decoded = room(b.decoded, n)
	chunk, err := d.DecodeAll(frame, b.decoded[:0:n])
	if err != nil { // not to be wrapped: the decoder's io.ErrUnexpectedEOF is no end of the file
		return nil, corrupt(int64(e.FileOffset), "the chunk that begins there does not decompress: %v", err)
	}
	return chunk, nil
}

// Decoders are shared by all files. What is behind DecodeAll holds on to the
// content that it gave out last; so there is only one for long chunks.
var (
	decoder     = sync.OnceValues(func() (*zstd.Decoder, error) { return newDecoder(min(runtime.GOMAXPROCS(0), 8)) })
	longDecoder = sync.OnceValues(func() (*zstd.Decoder, error) { return newDecoder(1) })
)

func newDecoder(atOnce int) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(atOnce), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
}
