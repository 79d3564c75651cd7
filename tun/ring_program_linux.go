package tun

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// The memory that the program and the reader share: a page of words, then the
// ring. Positions grow for ever, and count bytes; a position modulo the size of
// the ring is a place in it. (Older kernels have it in segments, each of which ends
// as the ring does: ring_memory_linux.go.)
//
//	   0  u64  head: the position behind the last record
//	   8  u64  how many packets got a record
//	  16  u64  how many found no room
//	  24  u64  the lock of those who put records there (ring_lock_linux.go)
//	  64  u64  tail: the position that the reader is done up to
//	 128  u64  0, or the time from which on a record wakes the reader, which sleeps
//	 136  u64  the head that wakes it before that time
//	page       the ring, and room for one record that begins at its end
//
// A record is in one piece, and as long as the packet's Enhanced Packet Block,
// for which it has room around the packet. It begins where the last one ended.
//
//	0         8        12       16       20       24       28
//	|         | stamp, | stamp, |        | length |        | packet, padded | 4 bytes |
//	|         | low u32| high   |        | u32    |        | to 4 bytes     |         |
const (
	wordHead     = 0
	wordPut      = 8
	wordLost     = 16
	wordLock     = 24
	wordTail     = 64 // cache lines of their own: these the reader writes
	wordWakeTime = 128
	wordWakeHead = 136

	recordStamp  = 8
	recordLength = 20
	recordAlign  = 4
	recordAround = Headroom + Tailroom
	minRecord    = Headroom + recordAlign + Tailroom
	maxRecord    = Headroom + (MaxPacket+recordAlign-1)&^(recordAlign-1) + Tailroom
)

// program is what the kernel runs for each packet that the device transmits:
// final ones, segmented and checksummed, without a link-layer header. It puts
// the time and the packet into the ring, or counts it as lost, and returns 0
// always: the device then frees the packet, counts it in tx_dropped, and
// queues nothing.
//
// ring is the map of ringBytes, in segments; bell a BPF ring buffer, in which it
// leaves a record for a reader that sleeps. stamp is the helper that reads the
// clock (clock_linux.go).
func program(ring, bell *ebpf.Map, lock lock, ringBytes int, lay layout, stamp asm.BuiltinFunc) asm.Instructions {
	enter := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1), // R6 = the packet, a struct __sk_buff
	}
	measure := asm.Instructions{
		// R8 = the length of the packet: skb->len, the first field
		asm.LoadMem(asm.R8, asm.R6, 0, asm.Word),
		asm.JLT.Imm(asm.R8, 1, "lost"), // of "= 0" verifiers before Linux 6.8 learn nothing
		asm.JGT.Imm(asm.R8, MaxPacket, "lost"),
	}
	room := asm.Instructions{
		asm.Ja.Label("lost"),

		// FP-8 = the head that will be; is there room?
		asm.LoadMem(asm.R9, asm.R7, wordHead, asm.DWord).WithSymbol("locked"),
		asm.Mov.Reg(asm.R1, asm.R8),
		asm.Add.Imm(asm.R1, recordAround+recordAlign-1),
		asm.And.Imm(asm.R1, ^(recordAlign - 1)),
		asm.Add.Reg(asm.R1, asm.R9),
		asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
		asm.LoadMem(asm.R2, asm.R7, wordTail, asm.DWord),
		asm.Sub.Reg(asm.R1, asm.R2),
		asm.JGT.Imm(asm.R1, int32(ringBytes), "full"),
	}
	put := asm.Instructions{
		// the time, also at FP-16, and the length
		stamp.Call(),
		asm.StoreMem(asm.RFP, -16, asm.R0, asm.DWord),
		asm.StoreMem(asm.R9, recordStamp, asm.R0, asm.Word),
		asm.RSh.Imm(asm.R0, 32),
		asm.StoreMem(asm.R9, recordStamp+4, asm.R0, asm.Word),
		asm.StoreMem(asm.R9, recordLength, asm.R8, asm.Word),

		// the packet, wherever the kernel keeps its parts
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.R9),
		asm.Add.Imm(asm.R3, Headroom),
		asm.Mov.Reg(asm.R4, asm.R8),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "full"),

		// put++
		asm.LoadMem(asm.R1, asm.R7, wordPut, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R7, wordPut, asm.R1, asm.DWord),
	}
	look := asm.Instructions{
		// wake a reader that sleeps: is it time, or has so much come?
		asm.LoadMem(asm.R2, asm.R7, wordWakeTime, asm.DWord),
		asm.JEq.Imm(asm.R2, 0, "consume"),
		asm.LoadMem(asm.R3, asm.RFP, -16, asm.DWord),
		asm.JGE.Reg(asm.R3, asm.R2, "wake"),
		asm.LoadMem(asm.R2, asm.R7, wordWakeHead, asm.DWord),
		asm.LoadMem(asm.R3, asm.RFP, -8, asm.DWord),
		asm.JLT.Reg(asm.R3, asm.R2, "consume"),
	}
	wake := asm.Instructions{
		asm.LoadMapPtr(asm.R1, bell.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.Mov.Imm(asm.R3, 8),
		asm.Mov.Imm(asm.R4, unix.BPF_RB_FORCE_WAKEUP),
		asm.FnRingbufOutput.Call(),
		asm.Ja.Label("consume"),
	}
	lose := asm.Instructions{
		asm.Mov.Imm(asm.R1, 1).WithSymbol("lost"),
		asm.AddAtomic.Mem(asm.R7, asm.R1, asm.DWord, wordLost),

		asm.Mov.Imm(asm.R0, 0).WithSymbol("consume"),
		asm.Return(),
	}
	return slices.Concat(enter, lay.words(ring, ringBytes), measure,
		lock.take(stamp), room, lay.place(ring, ringBytes), put, lock.publish(), look, label("wake", lock.claim()), wake, label("full", lock.release()), lose)
}

// label names the first of some instructions.
func label(name string, instructions asm.Instructions) asm.Instructions {
	instructions[0] = instructions[0].WithSymbol(name)
	return instructions
}

// words has R7 point to the page of words.
func (l layout) words(ring *ebpf.Map, ringBytes int) asm.Instructions {
	if l.whole(ringBytes) {
		return asm.Instructions{asm.LoadMapValue(asm.R7, ring.FD(), 0)}
	}
	return slices.Concat(
		asm.Instructions{asm.Mov.Imm(asm.R1, 0)},
		element(ring, "consume"),
		asm.Instructions{asm.Mov.Reg(asm.R7, asm.R0)},
	)
}

// place has R9, which is a position, point to the record there.
func (l layout) place(ring *ebpf.Map, ringBytes int) (i asm.Instructions) {
	segment := asm.R7
	if !l.whole(ringBytes) {
		i = append(asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R9),
			asm.And.Imm(asm.R1, int32(ringBytes-1)),
			asm.RSh.Imm(asm.R1, int32(l.shift)),
		}, element(ring, "full")...)
		segment = asm.R0
	}
	return append(i,
		asm.And.Imm(asm.R9, int32(l.bytes-recordAlign)),
		asm.Add.Imm(asm.R9, int32(os.Getpagesize())),
		asm.Add.Reg(asm.R9, segment),
	)
}

// element has R0 point to the element of the array whose number is in R1. That there
// is none, never happens, but verifiers want to know where the program goes on then.
func element(array *ebpf.Map, none string) asm.Instructions {
	return asm.Instructions{
		asm.StoreMem(asm.RFP, -16, asm.R1, asm.Word),
		asm.LoadMapPtr(asm.R1, array.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -16),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, none),
	}
}

// attachProgram loads the program and has the device of fd run it, until the device
// goes or another program takes its place.
func attachProgram(fd int, instructions asm.Instructions) error {
	p, err := ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{
		Name:         "tunrec",
		Type:         ebpf.SocketFilter,
		Instructions: instructions,
		License:      "Dual MIT/GPL", // of the program; helpers may ask for the latter
	}, ebpf.ProgramOptions{LogDisabled: true})
	if errors.Is(err, unix.EACCES) { // no lack of a permission
		return &problem{"the kernel's verifier refuses the eBPF program", errors.ErrUnsupported}
	}
	if err != nil {
		return refusal("the kernel refuses the eBPF program", err)
	}
	defer p.Close() // the device holds on to it
	err = unix.IoctlSetPointerInt(fd, unix.TUNSETFILTEREBPF, p.FD())
	if err != nil {
		return refusal("the tun driver takes no eBPF program (Linux 4.16 does)", err)
	}
	return nil
}

// refusal is the error of a system that a ring cannot be had on. Its text is a
// phrase that can stand after "because".
func refusal(what string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM) && mayBPF():
		return &problem{"BPF is refused in spite of CAP_BPF: by a user namespace, a seccomp filter or, " +
			"before Linux 5.11, the limit of locked memory (ulimit -l, LimitMEMLOCK= of a unit)", os.ErrPermission}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &problem{"no permission to use BPF (CAP_BPF)", os.ErrPermission}
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%s: %w", what, unix.ENOMEM)
	default:
		return &problem{fmt.Sprintf("%s: %v", what, err), errors.ErrUnsupported}
	}
}

// mayBPF reports whether this thread has the capability.
func mayBPF() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	const admin, bpf = unix.CAP_SYS_ADMIN, unix.CAP_BPF
	return data[admin/32].Effective&(1<<(admin%32)) != 0 || data[bpf/32].Effective&(1<<(bpf%32)) != 0
}
