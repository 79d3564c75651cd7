package tun

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// gate is an eBPF program that lets no packet into the queue of a device: each is
// counted in tx_dropped. It is loaded ahead, since closing it is done without any
// privilege.
type gate struct {
	device  int // its descriptor
	program *ebpf.Program
}

func newGate(device int) (*gate, error) {
	p, err := ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{
		Name:         "tunrec_gate",
		Type:         ebpf.SocketFilter,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "Dual MIT/GPL",
	}, ebpf.ProgramOptions{LogDisabled: true})
	if err != nil {
		return nil, refusal("the kernel refuses the eBPF program", err)
	}
	return &gate{device, p}, nil
}

// shut closes the gate. What had got through is in the queue when it returns.
func (g *gate) shut() error {
	if err := unix.IoctlSetPointerInt(g.device, unix.TUNSETFILTEREBPF, g.program.FD()); err != nil {
		return err
	}
	return awaitSenders()
}

func (g *gate) close() error { return g.program.Close() }

// awaitSenders waits for the senders that are at work in the device: they are in a
// section that membarrier(2) waits for the end of (synchronize_rcu in
// kernel/sched/membarrier.c). It fails on a kernel without that call.
func awaitSenders() error {
	const global = 1 // MEMBARRIER_CMD_GLOBAL of linux/membarrier.h
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
