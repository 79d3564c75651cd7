package filter

import "net/netip"

// An expr is a parsed expression. Each kind generates its tests (generate.go)
// and describes itself (explain.go).
type expr interface {
	// generate returns the graph that goes on to yes where the expression
	// holds, and to no where it does not.
	generate(g *generator, yes, no *node) *node
	describe() string
}

type (
	notExpr struct{ e expr }
	andExpr struct{ l, r expr }
	orExpr  struct{ l, r expr }

	// everything is the empty expression.
	everything struct{}

	// never is what raw IP does not carry; always and never are also what
	// inbound and outbound are where the direction is known.
	never  struct{ what string }
	always struct{ what string }

	// familyExpr is "ip" or "ip6".
	familyExpr struct{ family family }

	// protocolExpr is a transport protocol by its number.
	protocolExpr struct {
		family family
		number uint32
		name   string // as written, or ""
	}

	// chainExpr is "protochain".
	chainExpr struct {
		family family
		number uint32
	}

	// addrExpr is a host or network.
	addrExpr struct {
		dir    dir
		prefix address
	}

	// portExpr is a port or range of ports.
	portExpr struct {
		dir    dir
		protos []uint32 // TCP, UDP, SCTP
		lo, hi uint32
	}

	multicastExpr struct{ family family }
	broadcastExpr struct{ netmask uint32 }

	// relation compares two numbers.
	relation struct {
		op   string
		l, r arith
	}
)

// family is a set of IP versions.
type family uint8

const (
	ipv4 family = 1 << iota
	ipv6
)

// dir is what "src" and "dst" say about an address or port.
type dir uint8

const (
	srcOrDst dir = iota
	srcAndDst
	src
	dst
)

// address is an IPv4 (one word) or IPv6 (four words) address with its mask.
type address struct {
	text       string
	word, mask []uint32
}

// newAddress makes an address whose first bits count; -1 means all.
func newAddress(a netip.Addr, bits int) address {
	if bits < 0 {
		bits = a.BitLen()
	}
	out := address{text: a.String()}
	if bits < a.BitLen() {
		out.text = netip.PrefixFrom(a, bits).String()
	}
	raw := a.AsSlice()
	for i := 0; i < len(raw); i += 4 {
		out.word = append(out.word, uint32(raw[i])<<24|uint32(raw[i+1])<<16|uint32(raw[i+2])<<8|uint32(raw[i+3]))
		here := max(0, min(32, bits-8*i))
		out.mask = append(out.mask, ^uint32(0)<<(32-here))
	}
	return out
}

// overhang reports whether bits are set that the mask takes away.
func (a address) overhang() bool {
	for i := range a.word {
		if a.word[i]&^a.mask[i] != 0 {
			return true
		}
	}
	return false
}

// An arith is an arithmetic expression.
type arith interface{ describe() string }

type (
	numberArith struct{ n uint32 }
	lengthArith struct{}
	negArith    struct{ a arith }
	binaryArith struct {
		op   string
		l, r arith
	}
	// loadArith is proto[index:size].
	loadArith struct {
		proto *protocol
		index arith
		size  uint32
	}
)
