package tun

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// lock is the part of the program that keeps senders apart, and what they write in
// order. R7 is the page of words, and FP-8 the head that will be; R0 to R5 are free.
type lock interface {
	// take goes on at "locked" with the lock, and behind itself without.
	take(stamp asm.BuiltinFunc) asm.Instructions

	// publish moves the head, which gives the record to the reader, and frees the lock. The record is there before the head is, and the head before
	// anything that the program loads after.
	publish() asm.Instructions

	// release frees the lock. It keeps what was there before.
	release() asm.Instructions

	// claim goes on at "consume" where somebody else wakes the reader.
	claim() asm.Instructions
}

// tries is how often a sender tries to take the lock, with a look at the clock
// in between: some microseconds in all, in which another one copies the longest
// packet. It hardly ever matters, since the queueing discipline before the device
// lets one sender through at a time. A loop would be shorter, but without
// CAP_PERFMON the verifier follows it where the processor might, speculating,
// for ever.
const tries = 128

// exchangeLock is a word that is 1 while the lock is held.
type exchangeLock struct{}

func (exchangeLock) take(stamp asm.BuiltinFunc) (i asm.Instructions) {
	for range tries {
		i = append(i,
			asm.Mov.Imm(asm.R1, 1),
			exchange(asm.R7, wordLock, asm.R1),
			asm.JEq.Imm(asm.R1, 0, "locked"),
			stamp.Call())
	}
	return i
}

// publish needs an exchange, since that is a barrier, too.
func (l exchangeLock) publish() asm.Instructions {
	return append(asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, -8, asm.DWord),
		exchange(asm.R7, wordHead, asm.R1),
	}, l.release()...)
}

func (exchangeLock) release() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R7, wordLock, asm.R1, asm.DWord),
	}
}

// claim has the reader woken once.
func (exchangeLock) claim() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, 0),
		exchange(asm.R7, wordWakeTime, asm.R1),
		asm.JEq.Imm(asm.R1, 0, "consume"),
	}
}

// exchange puts what is in src at dst+offset, and what was there into src, at
// once and in order with all else (BPF_XCHG, Linux 5.12).
func exchange(dst asm.Register, offset int16, src asm.Register) asm.Instruction {
	ins := asm.Xchg.Mem(dst, src, asm.DWord, offset)
	ins.Constant = int64(asm.Xchg >> 8) // cilium/ebpf 0.22 forgets it: without, it is an addition
	return ins
}

// tokenLock is for kernels without the exchange: who pops the only element off a
// stack has the lock. Each call of the stack takes a spin lock of the kernel and
// frees it. To free one and to take one after it is a full barrier, on all
// architectures but powerpc (smp_mb__after_unlock_lock in Documentation/memory-barriers.txt).
type tokenLock struct{ stack *ebpf.Map }

func makeToken() (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "tunrec_token", Type: ebpf.Stack, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, refusal("the kernel has no BPF stack (Linux 4.20 has)", err)
	}
	if err := m.Put(nil, uint32(1)); err != nil {
		m.Close()
		return nil, fmt.Errorf("fill a BPF stack: %w", err)
	}
	return m, nil
}

// call is of pop, peek or push, with the token at FP-24.
func (l tokenLock) call(helper asm.BuiltinFunc) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, l.stack.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -24),
		asm.Mov.Imm(asm.R3, 0), // flags of push
		helper.Call(),
	}
}

func (l tokenLock) take(stamp asm.BuiltinFunc) (i asm.Instructions) {
	for range tries {
		i = append(i, l.call(asm.FnMapPopElem)...)
		i = append(i, asm.JEq.Imm(asm.R0, 0, "locked"), stamp.Call())
	}
	return i
}

func (l tokenLock) publish() (i asm.Instructions) {
	peek := l.call(asm.FnMapPeekElem)
	i = append(i, peek...)
	i = append(i, peek...) // the record is there
	i = append(i,
		asm.LoadMem(asm.R1, asm.RFP, -8, asm.DWord),
		asm.StoreMem(asm.R7, wordHead, asm.R1, asm.DWord))
	i = append(i, l.release()...)
	return append(i, peek...) // and the head
}

func (l tokenLock) release() asm.Instructions { return l.call(asm.FnMapPushElem) }

// claim may have the reader woken twice, by senders at the same time.
func (tokenLock) claim() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R7, wordWakeTime, asm.R1, asm.DWord),
	}
}
