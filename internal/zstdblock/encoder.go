package zstdblock

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Encoder makes zstd blocks that can be joined: they refer to nothing before their
// content, and take the repeat offsets for those at the start of a frame. It is for one
// goroutine at a time; the library's encoders are made when they are first used.
type Encoder struct {
	windowBytes int
	encoders    [zstd.SpeedBestCompression + 1]*zstd.Encoder
	noise       noiseCoder
}

// NewEncoder returns an Encoder for frames with that window.
func NewEncoder(windowBytes int) *Encoder {
	return &Encoder{windowBytes: windowBytes, noise: noiseCoder{packets: PacketCoder{windowBytes: windowBytes}}}
}

// EncodedCap is the memory that Encode may need for content of that length, the room
// not counted: incompressible bytes grow by a block header every 64 KiB (SpeedFastest).
func EncodedCap(contentLen int) int {
	return zstd.HeaderMaxSize + contentLen + (contentLen/(64<<10)+2)*HeaderLen
}

// Encode compresses content. It returns room bytes for the caller and behind them the
// blocks, in the memory of buf where that is enough.
func (e *Encoder) Encode(content []byte, level zstd.EncoderLevel, buf []byte, room int) (blocks []byte, err error) {
	if level != zstd.SpeedFastest {
		blocks, _, err = e.byLibrary(content, level, buf, room)
		return blocks, err
	}
	if blocks, ok := e.noise.append(buf[:room], content); ok {
		return blocks, nil
	}
	blocks, rawLiterals, err := e.byLibrary(content, level, buf, room)
	if err != nil || rawLiterals < noiseLeast || !e.noise.trialDue() {
		return blocks, err
	}
	if blocks, ok := e.noise.trial(buf[:room], content, len(blocks)); ok {
		return blocks, nil
	}
	blocks, _, err = e.byLibrary(content, level, buf, room) // both write to buf
	return blocks, err
}

// byLibrary is Encode by the library's encoder of that level. It returns rawLiterals as
// joinable does.
func (e *Encoder) byLibrary(content []byte, level zstd.EncoderLevel, buf []byte, room int) (blocks []byte, rawLiterals int, err error) {
	if e.encoders[level] == nil {
		e.encoders[level], err = zstd.NewWriter(nil, zstd.WithEncoderLevel(level),
			zstd.WithWindowSize(e.windowBytes), zstd.WithEncoderCRC(false),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, 0, fmt.Errorf("make a zstd encoder of level %v: %w", level, err)
		}
	}
	frame := e.encoders[level].EncodeAll(content, buf[:room])
	begin, rawLiterals, err := joinable(frame[room:])
	if err != nil {
		return nil, 0, err
	}
	return frame[begin:], rawLiterals, nil // the room is in place of the frame's header
}
