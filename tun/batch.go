package tun

import "time"

// familyLen is the length in bytes of the address family that utun puts before
// every packet, in network byte order (utun_framer_output in xnu's
// bsd/net/if_utun.c). The version in the IP header says the same.
const familyLen = 4

const (
	// batchPackets is how many packets one call may bring; every version of
	// recvmsg_x takes as many (kern.ipc.somaxrecvmsgx is 100 or more).
	batchPackets = 64
	// slotLen has room for a byte more than the longest packet, so that a
	// packet never fills its slot: what does has been cut.
	slotLen = familyLen + MaxPacket + 1
)

// batch receives many packets per system call into slots of its own, and hands
// them on one by one. Memory of the slots is only touched where packets come.
type batch struct {
	source   batchSource
	slots    [batchPackets][]byte
	lens     [batchPackets]int
	next     int // the slot to hand over next
	have     int // how many slots the last call filled
	unixNano int64
}

// batchSource does the system call.
type batchSource interface {
	// recv fills the slots that it was made with and puts into lens how many
	// bytes each got. n == 0 without an error: nothing is there now.
	recv(lens []int) (n int, err error)
}

// newBatch makes a batch; source is called with its slots.
func newBatch(source func(slots [][]byte) batchSource) *batch {
	b := new(batch)
	memory := make([]byte, batchPackets*slotLen)
	for i := range b.slots {
		b.slots[i] = memory[i*slotLen:][:slotLen:slotLen]
	}
	b.source = source(b.slots[:])
	return b
}

func (b *batch) receive(dst []byte, keep keeper) (n, origLen int, unixNano int64, err error) {
	for {
		if b.next == b.have {
			b.next, b.have = 0, 0
			have, err := b.source.recv(b.lens[:])
			if err != nil || have == 0 {
				return 0, 0, 0, err
			}
			b.have = have
			b.unixNano = time.Now().UnixNano()
		}
		i := b.next
		b.next++
		if b.lens[i] > familyLen {
			packet := b.slots[i][familyLen:b.lens[i]]
			if keep != nil && !keep(packet, len(packet)) {
				dst = nil
			}
			return copy(dst, packet), len(packet), b.unixNano, nil
		}
	}
}
