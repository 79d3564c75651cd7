package filter

import (
	"errors"
	"fmt"
)

// DefaultSnaplen is the number of bytes that an accepting program returns
// where Options.Snaplen is 0. It is tcpdump's.
const DefaultSnaplen = 262144

// maxInstructions is the longest program that kernels take (BPF_MAXINSNS).
const maxInstructions = 4096

// ErrRejectsAll is returned for an expression that no packet can match, such
// as "ip and ip6". Its text is the one that libpcap gives.
var ErrRejectsAll = errors.New("filter: expression rejects all packets")

// Dialect says whose reading of an expression holds.
type Dialect uint8

const (
	// DialectLibpcap reads an expression as libpcap does.
	DialectLibpcap Dialect = iota
	// DialectTunrec differs in one thing: what is asked of the transport
	// layer (tcp, port 80, tcp[13], proto 58, …) is also found behind IPv6
	// extension headers, six of them at most, and tcp[…], udp[…] and
	// sctp[…] read IPv6 packets, too.
	DialectTunrec
)

// Direction says which way packets pass, seen from this machine.
type Direction uint8

const (
	// DirectionUnknown makes "inbound" and "outbound" an error.
	DirectionUnknown Direction = iota
	// DirectionOut is that of all packets routed into a tunnel device.
	DirectionOut
	// DirectionIn is that of packets that come out of a tunnel.
	DirectionIn
)

// Options are the circumstances of a compilation. The zero value is what
// tcpdump -n -r assumes of a file.
type Options struct {
	// Snaplen is what an accepting program returns, in bytes. 0 means
	// DefaultSnaplen. Match does not depend on it.
	Snaplen int
	// Dialect is the reading of the language.
	Dialect Dialect
	// Direction makes "inbound" and "outbound" true or false.
	Direction Direction
	// Netmask is that of the interface, for "ip broadcast", as a number:
	// 0xffffff00 for a /24. 0 leaves the addresses 0.0.0.0 and
	// 255.255.255.255.
	Netmask uint32
	// Resolve allows host names and network names. Without it they are
	// errors, and compiling never waits for a name server.
	Resolve bool
}

// Program is a compiled filter. It is immutable and safe for concurrent use.
type Program struct {
	expr    string
	dialect Dialect
	tree    expr
	raw     []Instruction
	machine *machine
}

// Compile compiles an expression. An empty one accepts every packet.
//
// The error is a *SyntaxError where a place in the expression can be named,
// and ErrRejectsAll where no packet can match.
func Compile(text string, o Options) (*Program, error) {
	if o.Snaplen == 0 {
		o.Snaplen = DefaultSnaplen
	}
	if o.Snaplen < 0 {
		return nil, fmt.Errorf("filter: snaplen %d is negative", o.Snaplen)
	}
	tree, err := parse(text, o)
	if err != nil {
		return nil, err
	}
	root, err := generate(tree, o)
	if err != nil {
		return nil, whole(text, err)
	}
	root = optimize(root)
	if root == reject {
		return nil, ErrRejectsAll
	}
	raw, err := emit(root, uint32(o.Snaplen))
	if err != nil {
		return nil, whole(text, err)
	}
	machine, err := decode(raw)
	if err != nil {
		return nil, whole(text, err)
	}
	return &Program{expr: text, dialect: o.Dialect, tree: tree, raw: raw, machine: machine}, nil
}

// Match reports whether the filter accepts a packet. packet holds the captured
// bytes, origLen is the packet's length on the wire, which "len" means. It
// does not allocate.
func (p *Program) Match(packet []byte, origLen int) bool {
	return p.machine.run(packet, uint32(origLen)) != 0
}

// String returns the expression as it was given.
func (p *Program) String() string { return p.expr }

// Instructions returns a copy of the program.
func (p *Program) Instructions() []Instruction {
	return append([]Instruction(nil), p.raw...)
}
