package tun

import (
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

const (
	// publishBytes is how much is copied before the kernel is told that the space
	// is free again, which takes a cache line from the sender each time.
	publishBytes = 32 << 10
	// nap is how long packets may gather while they keep coming: the first one
	// stamped later wakes the reader, or the one that fills a napPart of the ring.
	// napTimer is for packets that none follows. It is longer, so that it seldom
	// goes off while a sender is at work, whose packet would be stamped late.
	nap      = 20 * time.Millisecond
	napTimer = 30 * time.Millisecond
	napPart  = 8
	// rawBytes is how much a nap has to bring for the next to be a rawPoll.
	rawBytes = 512 << 10
)

// ring is the receiver that takes packets out of memory that an eBPF program
// shares with us (ring_program_linux.go).
//
// While packets keep coming we have ourselves woken for many of them, and call
// that a nap; after a nap that brought nothing we ask to be woken for the next.
type ring struct {
	poll  *poller
	clock clock

	memory *ebpf.Map
	token  *ebpf.Map // of a lock that needs one (ring_lock_linux.go), else nil
	bell   *ebpf.Map // a BPF ring buffer: poll(2) tells when it holds something
	shared []byte    // the memory, mapped
	rung   []byte    // the bell, mapped: the page with our position
	bells  []byte    // and that with the kernel's

	data []byte // the ring, and room behind it for the end of a record
	size uint64 // of the ring alone
	lay  layout
	at   uint64 // the position behind what has been taken
	end  uint64 // the head, when we last looked
	tail uint64 // as the kernel knows it; belongs to whoever calls giveBack
	owed int    // bytes of records that were copied, and not yet given back

	stamp    uint64 // of the record taken last, by the clock of the program
	busy     bool   // the last wait was a nap, or not longer than one
	waitedAt uint64 // our position at the last wait
	broken   error  // of the last wait
}

// form is what the kernel makes of a ring.
type form struct {
	segment uint64 // how many bytes of it are in one piece, a power of two
	token   bool   // the lock is a token
}

// newRing has the device of poll put its packets into a new ring. It fails,
// leaving nothing behind, with an error made by refusal where the system does
// not allow it.
func newRing(poll *poller, size int) (*ring, error) {
	r, err := newestRing(poll, size)
	if errors.Is(err, os.ErrPermission) && mayBPF() {
		// Before Linux 5.11 the memory of BPF is locked memory, which has a limit.
		if restore := raiseMemlock(); restore != nil {
			defer restore()
			return newestRing(poll, size)
		}
	}
	return r, err
}

// newestRing makes the ring of the first form that the kernel takes: whole with an
// exchange (Linux 6.0), in segments (5.12), and with a token (5.8).
func newestRing(poll *poller, size int) (r *ring, err error) {
	whole, parts := uint64(size), min(uint64(size), segmentBytes)
	for _, f := range []form{{whole, false}, {parts, false}, {parts, true}} {
		if r, err = makeRing(poll, size, f); err == nil || !errors.Is(err, errors.ErrUnsupported) {
			break
		}
	}
	return r, err
}

func makeRing(poll *poller, size int, f form) (_ *ring, err error) {
	r := &ring{poll: poll, size: uint64(size)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := r.makeMemory(f.segment); err != nil {
		return nil, err
	}
	if err := r.makeBell(); err != nil {
		return nil, err
	}
	if f.token {
		if r.token, err = makeToken(); err != nil {
			return nil, err
		}
	}
	for _, r.clock = range clocks {
		if err = attachProgram(poll.fd, r.program(r.clock)); err == nil {
			return r, nil
		}
	}
	return nil, err
}

func (r *ring) program(c clock) asm.Instructions {
	l := lock(exchangeLock{})
	if r.token != nil {
		l = tokenLock{r.token}
	}
	return program(r.memory, r.bell, l, int(r.size), r.lay, c.stamp)
}

// word is one of the words that we share with the program.
func (r *ring) word(offset int) *uint64 { return (*uint64)(unsafe.Pointer(&r.shared[offset])) }

func (r *ring) receive(dst []byte, keep keeper) (n, origLen int, unixNano int64, err error) {
	block, origLen, unixNano, err := r.take()
	if block == nil {
		return 0, 0, 0, err
	}
	packet := block[Headroom:][:origLen]
	if keep == nil || keep(packet, origLen) {
		n = copy(dst, packet)
	}
	if r.owed += len(block); r.owed >= publishBytes {
		r.publish()
	}
	return n, origLen, unixNano, nil
}

// publish gives the space of what has been copied back to the kernel.
func (r *ring) publish() {
	if r.owed > 0 {
		r.giveBack(r.owed)
		r.owed = 0
	}
}

// room implements InPlace.Room.
func (r *ring) room() int { return int(r.size) }

// take implements InPlace.Take.
func (r *ring) take() (block []byte, origLen int, unixNano int64, err error) {
	if !r.ready() {
		return nil, 0, 0, r.broken
	}
	place := r.at & (r.lay.bytes - 1) // in its segment
	record := r.data[(r.at&(r.size-1))>>r.lay.shift*r.lay.stride+place:]
	ne := binary.NativeEndian
	r.stamp = uint64(ne.Uint32(record[recordStamp:])) | uint64(ne.Uint32(record[recordStamp+4:]))<<32
	origLen = int(ne.Uint32(record[recordLength:]))
	length := (origLen + recordAround + recordAlign - 1) &^ (recordAlign - 1)
	r.at += uint64(length)
	if place+uint64(length) >= r.lay.bytes {
		return record[:length:length], origLen, r.clock.wall(int64(r.stamp)), nil
	}
	return record[:length], origLen, r.clock.wall(int64(r.stamp)), nil
}

// giveBack implements InPlace.GiveBack.
func (r *ring) giveBack(n int) {
	r.tail += uint64(n)
	atomic.StoreUint64(r.word(wordTail), r.tail)
}

// ready tells whether there is a record at our position.
func (r *ring) ready() bool {
	if r.at == r.end {
		r.end = atomic.LoadUint64(r.word(wordHead))
	}
	return r.at != r.end
}

// listen asks to be woken by a record that is stamped at that time (not 0) or
// later, or by the one that completes so many bytes of them. What woke us before
// is forgotten. A record that is there already wakes nobody: the caller has to look
// once more before it sleeps.
func (r *ring) listen(from, bytes uint64) {
	atomic.StoreUintptr(position(r.rung), atomic.LoadUintptr(position(r.bells)))
	atomic.StoreUint64(r.word(wordWakeHead), r.at+bytes)
	atomic.StoreUint64(r.word(wordWakeTime), from)
}

// position is the unsigned long that a page of a BPF ring buffer begins with
// (kernel/bpf/ringbuf.c).
func position(page []byte) *uintptr { return (*uintptr)(unsafe.Pointer(&page[0])) }

// wait implements Ingest.Wait. No wake-up is lost: the program moves the head
// before it looks whether we sleep, and we say so before we look at the head.
func (r *ring) wait(timeout time.Duration) error {
	start := time.Now()
	came := r.at - r.waitedAt
	r.waitedAt = r.at
	napping := r.busy && came > 0
	for !r.ready() {
		left, poll := timeout, unix.Poll
		if timeout >= 0 {
			left = max(0, timeout-time.Since(start))
		}
		last := left == 0
		if napping {
			part := r.size / napPart
			if r.listen(r.stamp+uint64(nap), part); r.ready() && r.end-r.at >= part {
				return nil // a full ring would wake nobody
			}
			if left < 0 || left > napTimer {
				left = napTimer
			}
			if came >= min(rawBytes, part) {
				poll = rawPoll
			}
		} else {
			r.publish()
			if r.listen(1, 0); r.ready() {
				return nil
			}
		}
		woken, err := r.poll.waitFor(r.bell.FD(), left, poll)
		atomic.StoreUint64(r.word(wordWakeTime), 0)
		if r.ready() { // also of a device that is gone
			r.busy = napping || time.Since(start) < nap
			return nil
		}
		if err != nil {
			r.broken = err
		}
		if woken || last || err != nil {
			return err
		}
		napping = false
	}
	return nil
}

// rawPoll is poll(2) behind the back of Go's scheduler, for a nap between many
// packets. A scheduler that is told of it goes idle and gets busy again with it, and
// each time its monitor looks around every 20 µs for a while: up to half of the CPU
// time of a whole recording. So it keeps a processor (GOMAXPROCS) to itself. The
// runtime can still stop it: by a signal, after which the caller looks who wants it.
func rawPoll(fds []unix.PollFd, millis int) (int, error) {
	timeout := unix.NsecToTimespec(int64(millis) * int64(time.Millisecond))
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// close frees everything; the device has to be closed before, else the program
// goes on filling the ring.
func (r *ring) close() error {
	var errs []error
	for _, mapped := range []*[]byte{&r.shared, &r.rung, &r.bells} {
		if *mapped != nil {
			errs = append(errs, unix.Munmap(*mapped))
			*mapped = nil
		}
	}
	r.data = nil
	return errors.Join(append(errs, r.memory.Close(), r.bell.Close(), r.token.Close())...) // Close of a nil Map does nothing
}

// counted returns what the program has counted.
func (r *ring) counted() (seen, lost uint64) {
	lost = atomic.LoadUint64(r.word(wordLost))
	return atomic.LoadUint64(r.word(wordPut)) + lost, lost
}
