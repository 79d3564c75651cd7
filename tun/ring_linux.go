package tun

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A record in the ring (linux/bpf.h, kernel/bpf/ringbuf.c); positions grow for
// ever, and count bytes from the start of the ring modulo its size. The ring is
// mapped twice, end to end, so that no record is in two pieces.
//
//	0           4        8       16
//	| length,   | kernel | stamp | packet, padded to 8 bytes
//	| busy flag |        |                                  |
const (
	recordHeader = 8 // the length does not count it
	recordBusy   = 1 << 31
	recordAlign  = 8

	// minRecord is what the shortest packet takes.
	minRecord = recordHeader + stampLen + recordAlign
)

const (
	// publishBytes is how much is read before the kernel is told that the space
	// is free again, which takes a cache line from the sender each time.
	publishBytes = 32 << 10
	// minNap and maxNap bound how long the reader sleeps, while packets keep
	// coming, without asking to be woken. A gigabyte a second fills about a
	// sixteenth of the ring meanwhile.
	minNap      = time.Millisecond
	maxNap      = 4 * time.Millisecond
	bytesPerNap = 16 << 20 // of ring, for each millisecond
)

// ring is the receiver that takes packets out of a BPF ring buffer.
//
// The kernel wakes the reader for a record whose position is the one that we
// have published. So while packets keep coming we leave that a little behind,
// and look again after a nap; after a nap that brought nothing we publish, and
// sleep until we are woken.
type ring struct {
	poll  *poller
	clock clock

	events   *ebpf.Map // the ring: poll(2) tells when it holds something
	slots    *ebpf.Map
	consumer []byte // mapped: the page with our position
	producer []byte // mapped: the page with the kernel's position, then the ring, twice
	counters []byte // mapped: the slots

	data      []byte  // the ring, twice
	mask      uintptr // a position & mask is an index into data
	at        uintptr // our position
	end       uintptr // the kernel's, when we last looked
	published uintptr // our position as the kernel knows it

	nap      time.Duration
	busy     bool    // packets come more often than there would be naps
	waitedAt uintptr // our position at the last wait
	broken   error   // of the last wait
}

// newRing has the device of poll put its packets into a new ring. It fails,
// leaving nothing behind, with an error made by refusal where the system does
// not allow it.
func newRing(poll *poller, size int) (_ *ring, err error) {
	r := &ring{poll: poll}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := r.makeRing(size); err != nil {
		return nil, err
	}
	if err := r.makeSlots(); err != nil {
		return nil, err
	}
	for _, r.clock = range clocks {
		err = attachProgram(poll.fd, program(r.events, r.slots, r.clock.stamp))
		if err == nil {
			return r, nil
		}
	}
	return nil, err
}

func (r *ring) makeRing(size int) (err error) {
	r.events, err = ebpf.NewMap(&ebpf.MapSpec{Name: "tunrec_ring", Type: ebpf.RingBuf, MaxEntries: uint32(size)})
	if err != nil {
		return refusal("the kernel has no BPF ring buffer (Linux 5.8 has)", err)
	}
	page := os.Getpagesize()
	if r.consumer, err = mapMemory(r.events, 0, page, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	if r.producer, err = mapMemory(r.events, page, page+2*size, unix.PROT_READ); err != nil {
		return err
	}
	r.data, r.mask = r.producer[page:], uintptr(size-1)
	r.nap = min(max(minNap, time.Duration(size/bytesPerNap)*time.Millisecond), maxNap)
	return nil
}

func (r *ring) makeSlots() error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("number of CPUs: %w", err)
	}
	r.slots, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "tunrec_slots", Type: ebpf.Array, Flags: unix.BPF_F_MMAPABLE,
		KeySize: 4, ValueSize: slotBytes, MaxEntries: uint32(cpus),
	})
	if err != nil {
		return refusal("the kernel has no BPF array that can be mapped (Linux 5.5 has)", err)
	}
	r.counters, err = mapMemory(r.slots, 0, cpus*slotBytes, unix.PROT_READ)
	return err
}

func mapMemory(m *ebpf.Map, offset, length, protection int) ([]byte, error) {
	b, err := unix.Mmap(m.FD(), int64(offset), length, protection, unix.MAP_SHARED)
	if err != nil {
		return nil, refusal("BPF memory cannot be mapped", os.NewSyscallError("mmap", err))
	}
	return b, nil
}

func (r *ring) receive(dst []byte, keep keeper) (n, origLen int, unixNano int64, err error) {
	if !r.ready() {
		return 0, 0, 0, r.broken
	}
	record := r.data[r.at&r.mask:]
	length := uintptr(*(*uint32)(unsafe.Pointer(&record[0])))
	packet := record[recordHeader+stampLen : recordHeader+length]
	stamp := *(*int64)(unsafe.Pointer(&record[recordHeader]))
	if keep == nil || keep(packet, len(packet)) {
		n = copy(dst, packet)
	}
	r.at += (recordHeader + length + recordAlign - 1) &^ (recordAlign - 1)
	if r.at-r.published >= publishBytes {
		r.publish()
	}
	return n, len(packet), r.clock.wall(stamp), nil
}

// ready tells whether there is a whole record at our position.
func (r *ring) ready() bool {
	if r.at == r.end {
		r.end = atomic.LoadUintptr(position(r.producer))
		if r.at == r.end {
			return false
		}
	}
	// The kernel takes the flag away when it has written the record.
	header := (*uint32)(unsafe.Pointer(&r.data[r.at&r.mask]))
	return atomic.LoadUint32(header)&recordBusy == 0
}

// publish gives the space of what has been read back to the kernel.
func (r *ring) publish() {
	atomic.StoreUintptr(position(r.consumer), r.at)
	r.published = r.at
}

// position is the unsigned long that a page begins with.
func position(page []byte) *uintptr { return (*uintptr)(unsafe.Pointer(&page[0])) }

// wait implements Ingest.Wait. No wake-up is lost: the kernel moves its position
// before it looks at ours, poll(2) looks at both, and ours is published before.
func (r *ring) wait(timeout time.Duration) error {
	start := time.Now()
	napping := r.busy && r.at != r.waitedAt
	r.waitedAt = r.at
	for !r.ready() {
		events, left, poll := r.events.FD(), timeout, unix.Poll
		if timeout >= 0 {
			left = max(0, timeout-time.Since(start))
		}
		last := left == 0
		if napping {
			events, poll = -1, rawPoll
			if left < 0 || left > r.nap {
				left = r.nap
			}
		} else {
			r.publish()
		}
		woken, err := r.poll.waitFor(events, left, poll)
		if r.ready() { // also of a device that is gone
			r.busy = napping || time.Since(start) < r.nap
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

// rawPoll is poll(2) behind the back of Go's scheduler, for a nap. A scheduler
// that is told of every nap goes idle and gets busy again with it, and each time
// its monitor looks around every 20 µs for a while: a fifth of the CPU time of a
// whole recording. So a nap keeps a processor (GOMAXPROCS) to itself. The runtime
// can still stop it: by a signal, after which the caller looks who wants it.
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
	for _, mapped := range []*[]byte{&r.consumer, &r.producer, &r.counters} {
		if *mapped != nil {
			errs = append(errs, unix.Munmap(*mapped))
			*mapped = nil
		}
	}
	r.data = nil
	return errors.Join(append(errs, r.events.Close(), r.slots.Close())...) // Close of a nil Map does nothing
}

// counted returns what the program has counted, on all CPUs.
func (r *ring) counted() (seen, lost uint64) {
	for at := 0; at < len(r.counters); at += slotBytes {
		seen += atomic.LoadUint64((*uint64)(unsafe.Pointer(&r.counters[at+slotSeen])))
		lost += atomic.LoadUint64((*uint64)(unsafe.Pointer(&r.counters[at+slotLost])))
	}
	return seen, lost
}
