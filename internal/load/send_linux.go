package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendsPerCall is the number of segmented sends in one sendmmsg(2).
const sendsPerCall = 8

func send(ctx context.Context, c Config) (r Result, err error) {
	// The socket belongs to this thread's namespace, the CPU time to this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	// With slack, the kernel has timers go off together: what else is due then, such
	// as the monitor of the Go runtime, delays a packet behind its stamp.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // ns
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)

	fd, err := dial(c)
	if err != nil {
		return r, err
	}
	defer unix.Close(fd)

	b, p := newBatch(c), newPacer(c)
	start, cpu := time.Now(), threadCPU()
	defer func() { r.Elapsed, r.CPU = time.Since(start), threadCPU()-cpu }()

	for number := uint64(0); number < c.Packets; {
		sends, err := p.wait(ctx, len(b.msgs))
		if err != nil {
			return r, err
		}
		packets := min(uint64(sends*c.Segments), c.Packets-number)
		if err := r.flush(ctx, fd, b.fill(number, int(packets)), c.PayloadBytes); err != nil {
			return r, fmt.Errorf("load: sending to %v: %w", c.Dst, err)
		}
		number += packets
	}
	return r, nil
}

// dial returns a connected blocking socket: it waits where its buffer is full,
// but not for ever, so that the end of the context is seen.
func dial(c Config) (int, error) {
	addr := c.Dst.Addr().Unmap()
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(c.Dst.Port()), Addr: addr.As16()})
	if addr.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(c.Dst.Port()), Addr: addr.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("load: opening a UDP socket: %w", err)
	}
	if err := connect(fd, to, c); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func connect(fd int, to unix.Sockaddr, c Config) error {
	if err := unix.Connect(fd, to); err != nil {
		return fmt.Errorf("load: connecting to %v: %w", c.Dst, err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		return fmt.Errorf("load: setting SO_SNDTIMEO: %w", err)
	}
	if c.Segments > 1 {
		if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, c.PayloadBytes); err != nil {
			return fmt.Errorf("load: setting UDP_SEGMENT (needs Linux 4.18): %w", err)
		}
	}
	return nil
}

// flush hands every message to the kernel once.
func (r *Result) flush(ctx context.Context, fd int, msgs []unix.Mmsghdr, payloadBytes int) error {
	for len(msgs) > 0 {
		n, errno := sendmmsg(fd, msgs)
		switch errno {
		case 0:
			r.Sent += packets(msgs[:n], payloadBytes)
			msgs = msgs[n:]
		case unix.ENOBUFS:
			// Part of a segmented send may be out already: a retry could send it twice.
			r.NoBuffers += packets(msgs[:1], payloadBytes)
			msgs = msgs[1:]
		case unix.EAGAIN, unix.EINTR, unix.ECONNREFUSED:
			// The last is an answer to an earlier packet; nothing was sent now.
			if err := ctx.Err(); err != nil {
				return err
			}
		default:
			return errno
		}
	}
	return nil
}

// sendmmsg returns how many messages the kernel took. An error means that it
// took none; one that comes later is told at the next call.
func sendmmsg(fd int, msgs []unix.Mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), 0, 0, 0)
	return int(n), errno
}

func packets(msgs []unix.Mmsghdr, payloadBytes int) (n uint64) {
	for i := range msgs {
		n += uint64(msgs[i].Hdr.Iov.Len) / uint64(payloadBytes)
	}
	return n
}

func threadCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0 // cannot be: the arguments are constant
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// maxLag bounds the burst with which a sender that was held up catches up: a
// burst that the rate does not ask for must not overflow the device's queue.
const maxLag = 2 * time.Millisecond

// maxSleep is how long the end of a context may go unseen.
const maxSleep = 100 * time.Millisecond

// sleep is no time.Sleep, nor a timer: with those another thread of this process
// wakes up first, and wakes this one, right before a packet is stamped and sent.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // a signal ends it early
}

// pacer spreads sends over time.
type pacer struct {
	gap    time.Duration // between two sends; 0: none
	jitter bool          // gap is the mean
	next   time.Time     // when the next send is due
}

func newPacer(c Config) *pacer {
	p := &pacer{next: time.Now(), jitter: c.Jitter}
	if c.PacketsPerSecond > 0 {
		p.gap = time.Duration(c.Segments) * time.Second / time.Duration(c.PacketsPerSecond)
	}
	return p
}

// wait returns how many sends are due, 1 to limit, waiting for the first.
func (p *pacer) wait(ctx context.Context, limit int) (int, error) {
	if p.gap == 0 {
		return limit, ctx.Err()
	}
	late := time.Since(p.next)
	for ; late < 0; late = time.Since(p.next) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		sleep(min(-late, maxSleep))
	}
	if late > maxLag {
		p.next, late = p.next.Add(late-maxLag), maxLag
	}
	due := min(1+int(late/p.gap), limit)
	for range due {
		p.next = p.next.Add(p.pause())
	}
	return due, ctx.Err()
}

// pause is the time between two sends.
func (p *pacer) pause() time.Duration {
	if !p.jitter {
		return p.gap
	}
	return p.gap/2 + rand.N(p.gap)
}
