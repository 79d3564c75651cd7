// Package filter compiles capture filters in the language of pcap-filter(7)
// to classic BPF for raw IP packets (LINKTYPE_RAW: the first byte is the first
// byte of an IPv4 or IPv6 header), and runs them.
//
//	text ─lex─▶ tokens ─parse─▶ expr ─generate─▶ graph ─optimize─▶ graph ─emit─▶ classic BPF ─decode─▶ Match
//
// # Verdicts
//
// The verdict on every packet is that of libpcap 1.10, without its optimiser,
// quirks included:
//
//   - A test that needs a byte beyond the captured ones rejects the packet,
//     whatever the rest of the expression says.
//   - "and" and "or" have equal precedence and group from the left. "%" and
//     "^" have none: what follows them belongs to their right side.
//   - "tcp[…]" and its like look at IPv4 packets only; so do "igmp" and other
//     words whose protocol may be in IPv6 packets, too.
//   - "port" does not look behind IPv6 extension headers. "tcp" and "proto"
//     look behind a fragment header, if it is the only one.
//   - Right of an arithmetic operator, bytes are read without a test for their
//     protocol: "len + udp[0] = 50" reads any packet.
//   - "ip multicast" is 224.0.0.0 and above.
//   - "host 10.1" is a network, "host 5" is 0.0.0.5, "net 10/8" is an error.
//
// DialectTunrec lifts the third, fourth and fifth for TCP, UDP, SCTP, PIM and
// ICMPv6.
//
// # Refusals
//
// What libpcap refuses for raw IP is refused, but for these differences. Taken
// here and not there:
//
//   - A divisor or shift that is no constant, but has a 0, or a number above
//     31, within: "ip[2] / ip[0] = 1".
//   - A group of names that begins with a group: "port ((80 or 81) or 82)".
//   - "inbound" and "outbound", where Options tell the direction.
//
// Taken there and not here:
//
//   - Host names and network names, unless Options allow them to be resolved.
//   - A division by zero or too wide a shift that shows only when constants
//     are computed: "len >> - 6 = 1".
//   - Expressions that no packet matches (ErrRejectsAll). libpcap refuses some
//     of them, too, if its optimiser finds out.
//   - What is beyond the limits.
//   - geneve, pppoes, byte, DECnet addresses, and "iso proto" and "isis proto",
//     which mean nothing on raw IP, or nothing else than the words alone.
//
// # Limits
//
// An expression has at most 65,536 bytes, 200 parentheses and negations within
// each other, arithmetic that needs 12 cells of scratch memory, and 32,768
// tests before they are optimised; a program has at most 4,096 instructions,
// which is all that kernels take. Compiling what keeps to them, or finding that
// it does not, takes less than a second, and no recursion is deeper than the
// expression's parentheses or the graph's tests.
//
// "protochain" is libpcap's, but passes six headers at most, and passes
// authentication headers by their length (RFC 4302 §2.2), where libpcap jumps
// to a wrong place and may not come to an end.
package filter
