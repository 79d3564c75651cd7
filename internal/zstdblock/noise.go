package zstdblock

// noiseCoder decides which chunks a PacketCoder codes: those of encrypted
// packets. The library's encoder of level Fastest makes as much of them or more,
// and takes several times as long.
//
// A chunk with literals that the library's entropy coding could do nothing for
// is a trial: both code it. The next chunks are coded by the one that did better.
type noiseCoder struct {
	packets PacketCoder
	left    int     // chunks to the one that may be the next trial
	won     bool    // by packets
	trialed measure // of what packets made in the trial
}

const (
	// trialEvery chunks: a trial takes as long as PacketCoder for ten of them.
	trialEvery = 64
	noiseLeast = 64 << 10 // bytes of literals in a trial: fewer prove nothing
)

// append appends the zstd blocks for content to b, where packets won the last
// trial and goes on to do what it did in it.
func (n *noiseCoder) append(b, content []byte) (coded []byte, ok bool) {
	if len(content) < noiseLeast {
		return nil, false
	}
	n.left = max(n.left-1, 0)
	if !n.won || n.trialDue() {
		return nil, false
	}
	coded, m := n.code(b, content)
	if !n.trialed.foretells(m) {
		n.left = 0
		return nil, false
	}
	return coded, true
}

// trialDue reports whether the next chunk that has enough literals is a trial.
func (n *noiseCoder) trialDue() bool { return n.left == 0 }

// trial appends the zstd blocks for content to b if that makes no more than
// othersLen bytes with b, or so little more that it is worth the time.
func (n *noiseCoder) trial(b, content []byte, othersLen int) (coded []byte, won bool) {
	coded, m := n.code(b, content)
	n.left = trialEvery
	n.won = len(coded) <= othersLen+othersLen/200
	n.trialed = m
	return coded, n.won
}

func (n *noiseCoder) code(b, content []byte) (coded []byte, m measure) {
	coded, packets := n.packets.Append(b, content)
	return coded, measure{packets, len(content), len(coded) - len(b), unevenness(coded[len(b):])}
}

// measure is what PacketCoder made of a chunk.
type measure struct {
	packets              int
	contentLen, codedLen int
	uneven               int
}

// foretells reports whether m is of the same kind of content as t: every packet
// became so much shorter, within 2 % of the content, and what is left is as
// much like noise. Otherwise there is something that an encoder may find.
func (t *measure) foretells(m measure) bool {
	saved := (t.contentLen - t.codedLen) * m.packets / max(t.packets, 1)
	return m.contentLen-m.codedLen >= saved-m.contentLen/50 && m.uneven <= t.uneven+t.uneven/8
}

// unevenness tells text from noise: it is the sum of the squares of how often
// each byte is in a sample of b, 64 pieces of 64 bytes. For noise that is about
// 70,000, and for text a million.
func unevenness(b []byte) (sum int) {
	const pieces, pieceLen = 64, 64
	var counts [256]int
	for i := range pieces {
		at := i * len(b) / pieces
		for _, c := range b[at:min(at+pieceLen, len(b))] {
			counts[c]++
		}
	}
	for _, n := range counts {
		sum += n * n
	}
	return sum
}
