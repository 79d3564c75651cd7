// Package load sends numbered UDP packets, as fast as one thread can or at a
// rate, to find out what a recorder loses. Every packet carries its number and
// the time of its sending, so that a capture can be checked packet by packet.
//
// Payload, big-endian, PayloadBytes long:
//
//	0      4            12              20
//	| magic | number u64 | Unix time, ns | fill ...
package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// HeaderBytes is the length of what ParsePayload reads, the least PayloadBytes.
const HeaderBytes = 20

const (
	magic = 0x74756e21 // "tun!"

	// maxSendBytes is the most that one send may carry: an IPv4 packet of
	// 65,535 bytes less its IPv4 and UDP headers, before segmentation too.
	maxSendBytes = 65507

	// maxSegments is UDP_MAX_SEGMENTS of linux/udp.h; older kernels have 64.
	// A kernel answers EINVAL above its own.
	maxSegments = 128
)

// Config says what to send.
type Config struct {
	Dst              netip.AddrPort
	Packets          uint64 // how many; their numbers are 0 to Packets-1
	PayloadBytes     int    // UDP payload of each; 0 means HeaderBytes
	PacketsPerSecond int    // upper bound of the rate; 0 floods
	Jitter           bool   // gaps of 0.5 to 1.5 times the mean, at random: nothing periodic keeps step
	Segments         int    // packets per send by UDP_SEGMENT, up to 128; 0 or 1: a system call per packet
	Random           bool   // fill that no compressor shrinks, instead of zeros
}

// Result says what was sent. Packets of Config are Sent plus NoBuffers, less
// what an error or the end of the context left out.
type Result struct {
	Sent      uint64        // packets that the kernel took without an error
	NoBuffers uint64        // packets of sends that failed with ENOBUFS; some may have gone out
	Elapsed   time.Duration // from the first packet to the last
	CPU       time.Duration // user and system time of the sending thread
}

// Send sends c.Packets packets from the network namespace of the calling
// thread; a caller that has entered a namespace has locked its thread. It
// does not retry a packet that the kernel refused for want of buffers.
//
// The error is that of the context where it ended first; Result is valid
// beside any error. Where a device has no checksum offload, older kernels
// refuse Segments above 1 with EIO.
func Send(ctx context.Context, c Config) (Result, error) {
	if c.PayloadBytes == 0 {
		c.PayloadBytes = HeaderBytes
	}
	c.Segments = max(c.Segments, 1)
	if err := c.validate(); err != nil {
		return Result{}, err
	}
	return send(ctx, c)
}

func (c *Config) validate() error {
	switch {
	case !c.Dst.IsValid() || c.Dst.Port() == 0:
		return fmt.Errorf("load: Dst %v: needs an address and a port", c.Dst)
	case c.Packets == 0:
		return errors.New("load: Packets is 0: give the number to send")
	case c.PacketsPerSecond < 0:
		return fmt.Errorf("load: PacketsPerSecond %d: must not be negative", c.PacketsPerSecond)
	case c.PayloadBytes < HeaderBytes || c.PayloadBytes > maxSendBytes:
		return fmt.Errorf("load: PayloadBytes %d: must be %d to %d", c.PayloadBytes, HeaderBytes, maxSendBytes)
	case c.Segments > maxSegments:
		return fmt.Errorf("load: Segments %d: must be at most %d", c.Segments, maxSegments)
	case c.Segments*c.PayloadBytes > maxSendBytes:
		return fmt.Errorf("load: Segments %d × PayloadBytes %d: one send carries at most %d bytes",
			c.Segments, c.PayloadBytes, maxSendBytes)
	}
	return nil
}

func putHeader(b []byte, number uint64, sent time.Time) {
	binary.BigEndian.PutUint32(b, magic)
	binary.BigEndian.PutUint64(b[4:], number)
	binary.BigEndian.PutUint64(b[12:], uint64(sent.UnixNano()))
}

// ParsePayload reads the head of a UDP payload: the packet's number and when
// it was handed to the kernel, in nanoseconds since 1970. Packets of one
// system call share that time. ok is false for a payload that Send did not make.
func ParsePayload(b []byte) (seq uint64, unixNano int64, ok bool) {
	if len(b) < HeaderBytes || binary.BigEndian.Uint32(b) != magic {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(b[4:]), int64(binary.BigEndian.Uint64(b[12:])), true
}
