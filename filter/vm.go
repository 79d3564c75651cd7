package filter

import "encoding/binary"

// run runs a program on a packet and returns what the program does. A load
// beyond the packet and a division by zero return 0, as in bpf(4).
func (m *machine) run(packet []byte, length uint32) uint32 {
	var a, x uint32
	var cells [scratchCells]uint32
	size := uint64(len(packet))
	for at := uint16(0); ; {
		o := &m.ops[at]
		truth := true
		switch o.do {
		case doB:
			if uint64(o.k) >= size {
				return 0
			}
			a = uint32(packet[o.k]) & o.mask
			truth = a == o.key
		case doH:
			if uint64(o.k)+2 > size {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(packet[o.k:])) & o.mask
			truth = a == o.key
		case doW:
			if uint64(o.k)+4 > size {
				return 0
			}
			a = binary.BigEndian.Uint32(packet[o.k:]) & o.mask
			truth = a == o.key
		case doBX:
			from := uint64(x) + uint64(o.k)
			if from >= size {
				return 0
			}
			a = uint32(packet[from]) & o.mask
			truth = a == o.key
		case doHX:
			from := uint64(x) + uint64(o.k)
			if from+2 > size {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(packet[from:])) & o.mask
			truth = a == o.key
		case doWX:
			from := uint64(x) + uint64(o.k)
			if from+4 > size {
				return 0
			}
			a = binary.BigEndian.Uint32(packet[from:]) & o.mask
			truth = a == o.key
		case doHSet:
			if uint64(o.k)+2 > size {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(packet[o.k:]))
			truth = a&o.key != 0
		case doIHL:
			if uint64(o.k) >= size {
				return 0
			}
			x = 4 * uint32(packet[o.k]&15)
		case doImm:
			a = o.k
		case doLen:
			a = length
		case doMem:
			a = cells[o.k%scratchCells]
		case doImmX:
			x = o.k
		case doLenX:
			x = length
		case doMemX:
			x = cells[o.k%scratchCells]
		case doStore:
			cells[o.k%scratchCells] = a
		case doStoreX:
			cells[o.k%scratchCells] = x
		case doALU:
			a = calculate(o.arithmetic, a, o.k)
		case doALUX:
			if x == 0 && (o.arithmetic == opDiv || o.arithmetic == opMod) {
				return 0
			}
			a = calculate(o.arithmetic, a, x)
		case doNeg:
			a = -a
		case doTAX:
			x = a
		case doTXA:
			a = x
		case doEq:
			truth = a == o.k
		case doIn:
			truth = false
			for _, key := range m.keys[o.k:o.key] {
				if a == key {
					truth = true
					break
				}
			}
		case doGt:
			truth = a > o.k
		case doGe:
			truth = a >= o.k
		case doSet:
			truth = a&o.k != 0
		case doEqX:
			truth = a == x
		case doGtX:
			truth = a > x
		case doGeX:
			truth = a >= x
		case doSetX:
			truth = a&x != 0
		case doReturn:
			return o.k
		case doReturnA:
			return a
		}
		if truth {
			at = o.yes
		} else {
			at = o.no
		}
	}
}
