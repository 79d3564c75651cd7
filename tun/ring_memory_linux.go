package tun

import (
	"fmt"
	"math/bits"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// segmentBytes is the length of a segment where the ring has to have several: before
// Linux 6.0 an element of an array is not longer than what kmalloc gives, 4 MiB
// (array_map_alloc_check in kernel/bpf/arraymap.c). Elements follow one another
// in memory, but an eBPF program may reach over the end of none.
const segmentBytes = 2 << 20

// layout is how the ring lies in memory: in segments, each an element of the array.
//
//	| page of words, of the first segment alone | segment | room for the end of a record |
type layout struct {
	bytes  uint64 // of one segment, without what is around it
	shift  int    // the power of two that this is
	stride uint64 // from one to the next
}

func layoutOf(segment uint64) layout {
	page := uint64(os.Getpagesize())
	return layout{segment, bits.TrailingZeros64(segment), page + (segment+maxRecord+page-1)&^(page-1)}
}

// whole reports whether the ring is in one piece, and the array of one element, whose
// address a program may hold.
func (l layout) whole(ringBytes int) bool { return l.bytes == uint64(ringBytes) }

func (r *ring) makeMemory(segment uint64) (err error) {
	r.lay = layoutOf(segment)
	length := r.size / segment * r.lay.stride
	r.memory, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "tunrec_ring", Type: ebpf.Array, Flags: unix.BPF_F_MMAPABLE,
		KeySize: 4, ValueSize: uint32(r.lay.stride), MaxEntries: uint32(r.size / segment),
	})
	if err != nil {
		return refusal(fmt.Sprintf("the kernel has no BPF array of %d MiB that can be mapped", length>>20), err)
	}
	r.shared, err = mapMemory(r.memory, 0, int(length), unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return err
	}
	r.data = r.shared[os.Getpagesize():]
	return nil
}

func (r *ring) makeBell() (err error) {
	page := os.Getpagesize()
	r.bell, err = ebpf.NewMap(&ebpf.MapSpec{Name: "tunrec_bell", Type: ebpf.RingBuf, MaxEntries: uint32(page)})
	if err != nil {
		return refusal("the kernel has no BPF ring buffer (Linux 5.8 has)", err)
	}
	if r.rung, err = mapMemory(r.bell, 0, page, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	r.bells, err = mapMemory(r.bell, page, page, unix.PROT_READ)
	return err
}

func mapMemory(m *ebpf.Map, offset, length, protection int) ([]byte, error) {
	b, err := unix.Mmap(m.FD(), int64(offset), length, protection, unix.MAP_SHARED)
	if err != nil {
		return nil, refusal("BPF memory cannot be mapped", os.NewSyscallError("mmap", err))
	}
	return b, nil
}

// raiseMemlock raises the limit of locked memory as far as it goes. It returns nil
// where that is not at all.
func raiseMemlock() (restore func()) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		return nil
	}
	for _, most := range []uint64{unix.RLIM_INFINITY, old.Max} {
		if most > old.Cur && unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: most, Max: most}) == nil {
			return func() { unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old) }
		}
	}
	return nil
}
