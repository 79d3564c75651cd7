// Package tun makes a TUN device and hands over the IP packets that the system
// routes into it: Linux tun, macOS utun.
//
// The way of a packet: the kernel queues it on the device; Wait returns; Next
// takes it off the queue, straight into the caller's memory, until nothing is
// left. Or, with a ring, an eBPF program writes it to where it may stay: Wait
// returns, and Take hands it over where it is.
//
//	tun.go       what to open, and the errors of opening
//	name.go      which names a device can have
//	ingest.go    the boundary to whoever takes the packets
//	kind.go      the makes of it: read and ring
//	device.go    Device, which is one or the other
//	open_*.go    opening and setting up, per system; water.go makes the device
//	read_*.go    one packet per read: read(2) on Linux
//	family.go    one packet per read, behind a 4-byte address family: macOS
//	batch.go     many packets per read: recvmsg_x(2) on macOS
//	ring_*.go    many packets without a system call, out of a ring: Linux;
//	             ring_program_*.go puts them there, clock_*.go makes their time
//	poll.go      waiting for a packet or for Wake
//	attach_*.go  using a device that exists
//	drops_*.go   the system's own count of what it lost; iflist.go reads macOS's,
//	             watch_*.go hears what makes the count of Linux a lower bound
//	gate_*.go    letting nothing more in, at the end
package tun

import (
	"fmt"
	"os"
)

const (
	// MaxPacket is the length in bytes of the longest packet that a device
	// delivers: the largest MTU. Longer ones are segmented before they arrive.
	MaxPacket = 65535

	// DefaultQueueLen is the Config.QueueLen that 0 stands for. It holds what a
	// sender of a million packets a second sends in 10 ms.
	DefaultQueueLen = 10000
	// MaxQueueLen is the largest Config.QueueLen.
	MaxQueueLen = 1 << 20

	// DefaultPendingPackets is the Config.PendingPackets that 0 stands for.
	DefaultPendingPackets = 512
	// MaxPendingPackets is the largest Config.PendingPackets.
	MaxPendingPackets = 1 << 16
)

// Config says what device to make. The zero value is a device whose name the
// system chooses, with the default queue.
//
// On Linux, the kernel says nothing by itself on a new device: it gets no link-local
// address (IFLA_INET6_ADDR_GEN_MODE), solicits no routers should it be given one, and
// is no router's device to MLD where the machine forwards.
type Config struct {
	// Name of the new device, as ValidName takes it; "" lets the system choose.
	Name string

	// Attach takes, on Linux, the persistent device of that Name (`ip tuntap
	// add`) where there is one and nobody reads it: it is used as it is, down or
	// up, and stays when it is closed. Device.Attached tells. Where there is
	// none, a new one is made.
	Attach bool

	// QueueLen is, on Linux, how many packets wait for the reader before the
	// kernel drops (and counts) the next one: txqueuelen. With a ring, it is how
	// many wait while another sender's are put there. 0: DefaultQueueLen.
	QueueLen int

	// Ingest is how packets come from the kernel. IngestAuto, the zero value,
	// takes a ring where that is possible; Device.IngestName tells. With a ring,
	// while packets keep coming, Wait lets them gather for up to 30 ms, and where
	// they are many it holds on to a processor of the Go runtime: have one more
	// of them (runtime.GOMAXPROCS).
	Ingest IngestKind

	// RingBytes is the size of the ring, in memory of the kernel: a power of two
	// from MinRingBytes to MaxRingBytes. A packet takes 32 bytes more than its
	// length, rounded up to 4. 0: DefaultRingBytes.
	RingBytes int

	// Notice is told once why the count of Drops is only a lower bound from now on, in
	// a phrase that can stand after "because": on Linux, when something was done to
	// the device that has the kernel throw packets away uncounted. Drops calls it.
	Notice func(why string)

	// PendingPackets is, on macOS, how many packets wait in the socket
	// (UTUN_OPT_MAX_PENDING_PACKETS in if_utun.h). Where the system does not
	// grant it, it gets the most that it does. 0: DefaultPendingPackets.
	PendingPackets int

	// RecvmsgX reads, on macOS 15.6 or later, many packets per system call, by
	// the undocumented recvmsg_x. All packets of one call get the same time.
	RecvmsgX bool
}

func (c Config) withDefaults() Config {
	if c.QueueLen == 0 {
		c.QueueLen = DefaultQueueLen
	}
	if c.RingBytes == 0 {
		c.RingBytes = DefaultRingBytes
	}
	if c.PendingPackets == 0 {
		c.PendingPackets = DefaultPendingPackets
	}
	return c
}

func (c Config) validate() error {
	if c.QueueLen < 1 || c.QueueLen > MaxQueueLen {
		return invalid("queue length %d is not within 1 and %d packets", c.QueueLen, MaxQueueLen)
	}
	if c.PendingPackets < 1 || c.PendingPackets > MaxPendingPackets {
		return invalid("pending packets %d is not within 1 and %d", c.PendingPackets, MaxPendingPackets)
	}
	if err := c.Ingest.validate(); err != nil {
		return err
	}
	if err := validateRingBytes(c.RingBytes); err != nil {
		return err
	}
	if c.Name == "" {
		return nil
	}
	return ValidName(c.Name)
}

// Open makes a device. It is down and has no address (on macOS: is up); closing
// it removes it, with its addresses and routes. Open fails, leaving nothing
// behind, with an error that errors.Is tells to be
//
//	os.ErrPermission       neither root nor CAP_NET_ADMIN, or no CAP_BPF for IngestRing
//	os.ErrExist            a device of that name exists, or is held by another process
//	os.ErrNotExist         the system has no tun driver, or no /dev/net/tun
//	os.ErrInvalid          the Config cannot be: a name or number out of bounds
//	errors.ErrUnsupported  not Linux or macOS, or too old for RecvmsgX or IngestRing
//
// or with what the system said.
func Open(c Config) (*Device, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return open(c)
}

// problem is an error whose text says what to do, of a kind that errors.Is finds.
type problem struct {
	text string
	kind error
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.kind }

func invalid(format string, args ...any) error {
	return &problem{fmt.Sprintf(format, args...), os.ErrInvalid}
}

func exists(name string) error {
	return &problem{fmt.Sprintf("device %s exists already: choose another name, or remove it first", name), os.ErrExist}
}
