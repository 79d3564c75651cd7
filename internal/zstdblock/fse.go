package zstdblock

import (
	"encoding/binary"
	"math/bits"
)

// bitWriter appends bits to b, the lowest first.
type bitWriter struct {
	b    []byte
	bits uint64
	n    uint8 // of them are not in b yet
}

// add appends the lowest n bits of v, of which the others are zero. At most 64
// bits fit between two flushes, of which 7 may be left from before.
func (w *bitWriter) add(v uint32, n uint8) {
	w.bits |= uint64(v) << (w.n & 63)
	w.n += n
}

// flush appends all whole bytes.
func (w *bitWriter) flush() {
	whole := w.n >> 3
	w.b = binary.LittleEndian.AppendUint64(w.b, w.bits)[:len(w.b)+int(whole)]
	w.bits >>= whole * 8 & 63
	w.n &= 7
}

// end appends what is left, up to a whole byte.
func (w *bitWriter) end() []byte {
	w.flush()
	if w.n > 0 {
		w.b = append(w.b, byte(w.bits))
	}
	return w.b
}

// stateTable writes the codes of one kind.
//
// A decoder has a table of 1<<log states. Each stands for a code, says how many
// bits to read, and to which state their value is to be added to give the
// next. A code that has n of the states divides all of them into n ranges
// whose lengths are powers of two, and which of its n states comes before the
// next one tells in which range that is. So the writer goes from the last
// code to the first, and finds a state for the code from the one after it.
type stateTable struct {
	log    uint8
	states [1 << tableLog]uint8 // of code 0, in order, then of code 1, …
	codes  [maxCodes]codeStates
}

// tableLog is the size of the largest predefined tables, and of a block's own.
const tableLog = 6

// codeStates says how long the ranges of a code are: 1<<short states below
// split, twice as many from there on; and where in states its own are. A state
// counts from 1<<log here: so, shifted right by the bits that tell its place in
// a range of one of n states, it is between n and 2*n, and index is where n is
// in states, less n.
type codeStates struct {
	short uint8
	split uint32
	index int32
}

// build makes the table for codes of these probabilities, in units of 1>>log;
// -1 is "less than 1", with one state at the end (RFC 8878 §4.1.1).
func (t *stateTable) build(log uint8, probabilities []int8) {
	t.log = log
	size := 1 << log
	var codeOf [1 << tableLog]uint8
	end := size
	for code, p := range probabilities {
		if p == -1 {
			end--
			codeOf[end] = uint8(code)
		}
	}
	at, total := 0, 0
	var next [maxCodes]uint8
	for code, p := range probabilities {
		for range p {
			codeOf[at] = uint8(code)
			for again := true; again; again = at >= end {
				at = (at + size>>1 + size>>3 + 3) & (size - 1)
			}
		}
		if n := int(max(p, -p)); n > 0 {
			short := log - uint8(bits.Len(uint(n-1)))
			t.codes[code] = codeStates{short: short, split: uint32(n) << (short + 1), index: int32(total - n)}
			next[code] = uint8(total)
			total += n
		}
	}
	for state, code := range codeOf[:size] {
		t.states[next[code]] = uint8(size + state)
		next[code]++
	}
}

// find returns a state of that code from which the decoder gets to state next,
// and how many bits of next it has to read for that.
func (t *stateTable) find(next uint32, code uint8) (state uint32, n uint8) {
	c := &t.codes[code]
	n = c.short
	if next >= c.split {
		n++
	}
	return uint32(t.states[int32(next>>n)+c.index]), n
}

// first returns a state of that code from which nothing follows.
func (t *stateTable) first(code uint8) uint32 {
	state, _ := t.find(1<<t.log, code)
	return state
}

// step returns a state of that code and writes how to get from it to next.
func (t *stateTable) step(w *bitWriter, next uint32, code uint8) uint32 {
	state, n := t.find(next, code)
	w.add(next&(1<<n-1), n)
	return state
}

// last writes the state that the decoder begins with.
func (t *stateTable) last(w *bitWriter, state uint32) { w.add(state-1<<t.log, t.log) }
