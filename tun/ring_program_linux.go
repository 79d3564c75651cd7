package tun

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// Every CPU has a slot in an array that user space can map. Nothing else runs
// on a CPU while it transmits a packet (bottom halves are off), so a slot needs
// neither lock nor atomic arithmetic.
//
//	0           8           64      72
//	| seen u64  | lost u64  |  ...  | stamp | packet ...
//	                        | what goes into the ring   |
const (
	slotSeen   = 0  // packets that the program was given
	slotLost   = 8  // of these, packets that did not get into the ring
	slotRecord = 64 // a cache line of its own

	stampLen  = 8
	slotBytes = (slotRecord + stampLen + MaxPacket + 63) &^ 63
)

// program is what the kernel runs for each packet that the device transmits:
// final ones, segmented and checksummed, without a link-layer header. It puts
// the time and the packet into the ring, or counts it as lost, and returns 0
// always: the device then frees the packet, counts it in tx_dropped, and
// queues nothing.
//
// stamp is the helper that reads the clock (clock_linux.go).
func program(ring, slots *ebpf.Map, stamp asm.BuiltinFunc) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1), // R6 = the packet, a struct __sk_buff

		// R7 = the slot of this CPU
		asm.FnGetSmpProcessorId.Call(),
		asm.StoreMem(asm.RFP, -4, asm.R0, asm.Word),
		asm.LoadMapPtr(asm.R1, slots.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "consume"), // there is a slot for each: the verifier wants to see it
		asm.Mov.Reg(asm.R7, asm.R0),

		// seen++
		asm.LoadMem(asm.R1, asm.R7, slotSeen, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R7, slotSeen, asm.R1, asm.DWord),

		// the time, before anything that takes time
		stamp.Call(),
		asm.StoreMem(asm.R7, slotRecord, asm.R0, asm.DWord),

		// R8 = the length of the packet: skb->len, the first field
		asm.LoadMem(asm.R8, asm.R6, 0, asm.Word),
		asm.JEq.Imm(asm.R8, 0, "lost"),
		asm.JGT.Imm(asm.R8, MaxPacket, "lost"),

		// the packet, wherever the kernel keeps its parts
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.R7),
		asm.Add.Imm(asm.R3, slotRecord+stampLen),
		asm.Mov.Reg(asm.R4, asm.R8),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "lost"),

		// into the ring; flags 0: wake the reader only if it has read all else
		asm.LoadMapPtr(asm.R1, ring.FD()),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.Add.Imm(asm.R2, slotRecord),
		asm.Mov.Reg(asm.R3, asm.R8),
		asm.Add.Imm(asm.R3, stampLen),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnRingbufOutput.Call(),
		asm.JEq.Imm(asm.R0, 0, "consume"),

		// lost++
		asm.LoadMem(asm.R1, asm.R7, slotLost, asm.DWord).WithSymbol("lost"),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R7, slotLost, asm.R1, asm.DWord),

		asm.Mov.Imm(asm.R0, 0).WithSymbol("consume"),
		asm.Return(),
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
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &problem{"no permission to use BPF (CAP_BPF; before Linux 5.11 RLIMIT_MEMLOCK, too)", os.ErrPermission}
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%s: %w", what, unix.ENOMEM)
	default:
		return &problem{fmt.Sprintf("%s: %v", what, err), errors.ErrUnsupported}
	}
}
