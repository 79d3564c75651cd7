package zstdblock

import (
	"math/bits"
	"sync"
)

// How the matches of a zstd block are written: its sequences section
// (RFC 8878 §3.1.1.3.2).

// sequence is some bytes of literals and then a match: bytes copied from
// before (RFC 8878 §3.1.1.4). The offset is coded as a value (§3.1.1.5): 1 is
// the last match's offset again, any above 3 an offset + 3.
type sequence struct {
	literals, match, offset uint32
	codes                   [kinds]uint8
}

// Of each of the three there is a code for its magnitude, and extra bits. Each
// kind of codes has a table of FSE states (RFC 8878 §4.1); the tables stand in
// this order.
const (
	literalKind = iota
	offsetKind
	matchKind
	kinds
)

const (
	minMatch     = 3      // of the format
	maxSequences = 0x7eff // that two bytes can count
	maxCodes     = 53
	// A block of fewer sequences takes the predefined tables: to describe its
	// own takes some 40 bytes.
	leastForTables = 64
)

// sequenceCoder writes the sequences of zstd blocks.
type sequenceCoder struct {
	sequences []sequence
	counts    [kinds][maxCodes]int
	tables    [kinds]stateTable // the block's own
}

// add adds a sequence to the block's.
func (c *sequenceCoder) add(literals, match, offset uint32) {
	l, o, m := literalCode(literals), uint8(bits.Len32(offset)-1), matchCode(match)
	c.counts[literalKind][l]++
	c.counts[offsetKind][o]++
	c.counts[matchKind][m]++
	c.sequences = append(c.sequences, sequence{literals, match, offset, [kinds]uint8{l, o, m}})
}

func (c *sequenceCoder) len() int { return len(c.sequences) }

// reset begins another block.
func (c *sequenceCoder) reset() {
	c.sequences = c.sequences[:0]
	c.counts = [kinds][maxCodes]int{}
}

// append appends the section of the sequences, at most maxSequences, to b.
//
// The decoder reads the bit stream from its end, so it is written from the
// last sequence to the first, and in each what is read last comes first: the
// steps from its states to those of the next, and then the extra bits.
func (c *sequenceCoder) append(b []byte) []byte {
	b, tables := c.appendHead(b)
	w := bitWriter{b: b}
	var states [kinds]uint32
	for i := len(c.sequences) - 1; i >= 0; i-- {
		s := &c.sequences[i]
		l, o, m := s.codes[literalKind], s.codes[offsetKind], s.codes[matchKind]
		if i == len(c.sequences)-1 {
			for kind, code := range s.codes {
				states[kind] = tables[kind].first(code)
			}
		} else {
			states[offsetKind] = tables[offsetKind].step(&w, states[offsetKind], o)
			states[matchKind] = tables[matchKind].step(&w, states[matchKind], m)
			states[literalKind] = tables[literalKind].step(&w, states[literalKind], l)
			w.flush()
		}
		w.add(s.literals-literalCodes[l].base, literalCodes[l].extra)
		w.add(s.match-matchCodes[m].base, matchCodes[m].extra)
		w.add(s.offset-1<<o, o)
		w.flush()
	}
	tables[matchKind].last(&w, states[matchKind])
	tables[offsetKind].last(&w, states[offsetKind])
	tables[literalKind].last(&w, states[literalKind])
	w.add(1, 1) // where the stream ends
	return w.end()
}

// appendHead appends what is before the bit stream: how many sequences there
// are, and the tables (RFC 8878 §3.1.1.3.2.1).
func (c *sequenceCoder) appendHead(b []byte) (_ []byte, tables [kinds]*stateTable) {
	n := len(c.sequences)
	if n < 128 {
		b = append(b, byte(n))
	} else {
		b = append(b, byte(n>>8)+128, byte(n))
	}
	b = append(b, 0)
	modes := len(b) - 1
	const rle, compressed = 1, 2 // or 0: predefined
	for kind := range tables {
		tables[kind] = &c.tables[kind]
		only := c.sequences[0].codes[kind]
		counts := c.counts[kind][:]
		switch {
		case counts[only] == n:
			b[modes] |= rle << (6 - 2*kind)
			b = append(b, only)
			var probabilities [maxCodes]int8
			probabilities[only] = 1
			tables[kind].build(0, probabilities[:])
		case n < leastForTables:
			tables[kind] = &predefined()[kind]
		default:
			b[modes] |= compressed << (6 - 2*kind)
			probabilities := probabilitiesOf(counts, n)
			tables[kind].build(tableLog, probabilities[:])
			b = appendProbabilities(b, probabilities[:])
		}
	}
	return b, tables
}

// probabilitiesOf returns probabilities in units of 1>>tableLog, of at least
// one unit, for codes of which there were so many, n in all.
func probabilitiesOf(counts []int, n int) (probabilities [maxCodes]int8) {
	left, largest := 1<<tableLog, 0
	for code, count := range counts {
		if count > 0 {
			probabilities[code] = int8(max(1, count<<tableLog/n))
			left -= int(probabilities[code])
		}
		if probabilities[code] > probabilities[largest] {
			largest = code
		}
	}
	for ; left < 0; left++ {
		for code, p := range probabilities {
			if p > probabilities[largest] {
				largest = code
			}
		}
		probabilities[largest]--
	}
	probabilities[largest] += int8(left)
	return probabilities
}

// appendProbabilities appends the description of a table (RFC 8878 §4.1.1):
// each probability + 1 in as many bits as the highest value takes that is still
// possible, or one less for the lowest values, as far as there are spare ones.
func appendProbabilities(b []byte, probabilities []int8) []byte {
	w := bitWriter{b: b}
	w.add(tableLog-5, 4)
	left := 1 << tableLog
	for code := 0; left > 0; code++ {
		v := int(probabilities[code]) + 1
		n := bits.Len(uint(left + 1))
		spare := 1<<n - 1 - (left + 1)
		switch half := 1 << (n - 1); {
		case v < spare:
			w.add(uint32(v), uint8(n-1))
		case v < half:
			w.add(uint32(v), uint8(n))
		default:
			w.add(uint32(v+spare), uint8(n))
		}
		left -= v - 1
		if v == 1 { // and 2 bits for how many more are zero; 3 is followed by 2 more bits
			more := 0
			for probabilities[code+1] == 0 {
				code++
				more++
			}
			for ; more >= 3; more -= 3 {
				w.add(3, 2)
				w.flush()
			}
			w.add(uint32(more), 2)
		}
		w.flush()
	}
	return w.end()
}

// predefined are the default tables (RFC 8878 §3.1.1.3.2.2).
var predefined = sync.OnceValue(func() *[kinds]stateTable {
	t := new([kinds]stateTable)
	t[literalKind].build(6, []int8{
		4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2,
		2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1})
	t[offsetKind].build(5, []int8{
		1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1})
	t[matchKind].build(6, []int8{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1})
	return t
})

// lengthCode stands for the lengths from base on that differ in their lowest
// extra bits (RFC 8878 §3.1.1.3.2.1.1).
type lengthCode struct {
	base  uint32
	extra uint8
}

// From the last of these on a code has twice the lengths of the one before it.
var (
	literalCodes = lengthCodes(0, 16, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	matchCodes   = lengthCodes(minMatch, 32, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)

	shortLiteralCodes = codesOf(literalCodes, 64)
	shortMatchCodes   = codesOf(matchCodes, 128)
)

// lengthCodes returns codes whose lengths follow one another: single ones of
// one length each, then those with that many extra bits.
func lengthCodes(base uint32, single int, extra ...uint8) (codes []lengthCode) {
	for _, n := range append(make([]uint8, single), extra...) {
		codes = append(codes, lengthCode{base, n})
		base += 1 << n
	}
	return codes
}

// codesOf returns the codes of the n shortest lengths.
func codesOf(codes []lengthCode, n int) (of []uint8) {
	of = make([]uint8, 0, n)
	for code, c := range codes {
		for range min(1<<c.extra, n-len(of)) {
			of = append(of, uint8(code))
		}
	}
	return of
}

func literalCode(n uint32) uint8 {
	if n < 64 {
		return shortLiteralCodes[n]
	}
	return uint8(bits.Len32(n)) + 18
}

func matchCode(n uint32) uint8 {
	if n -= minMatch; n < 128 {
		return shortMatchCodes[n]
	}
	return uint8(bits.Len32(n)) + 35
}
