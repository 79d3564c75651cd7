package filter

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// chained is an IPv6 packet with these headers in front of a transport header.
func chained(proto byte, transport []byte, headers ...[]byte) []byte {
	b := make([]byte, 40)
	b[0] = 0x60
	next := 6
	for _, h := range headers {
		b[next] = h[len(h)-1] // its number is carried behind it
		next = len(b)
		b = append(b, h[:len(h)-1]...)
	}
	b[next] = proto
	return append(b, transport...)
}

// header makes an extension header of size bytes for chained.
func header(number byte, size int, units byte) []byte {
	h := make([]byte, size+1)
	h[1], h[size] = units, number
	return h
}

func fragment(offset uint16) []byte {
	h := header(headerFragment, 8, 0)
	binary.BigEndian.PutUint16(h[2:], offset)
	return h
}

func TestDialectTunrec(t *testing.T) {
	tcp := []byte{0xc0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0, 0, 0, 0, 0, 0}
	var (
		hop   = header(headerHopByHop, 8, 0)
		dest  = header(headerDestination, 24, 2)
		route = header(headerRouting, 16, 1)
		ah    = header(headerAH, 20, 3)
	)
	four := append([]byte{0x46, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 1}, tcp...)
	laterFour := slices.Clone(four)
	laterFour[7] = 1
	packets := map[string][]byte{
		"plain":     chained(6, tcp),
		"options":   chained(6, tcp, hop, dest),
		"six":       chained(6, tcp, hop, dest, route, fragment(0), ah, dest),
		"seven":     chained(6, tcp, hop, dest, route, fragment(1), ah, dest, dest),
		"first":     chained(6, tcp, fragment(1)),
		"later":     chained(6, tcp, fragment(8)),
		"cut":       chained(6, tcp, hop, dest)[:60],
		"udp":       chained(17, tcp, hop),
		"icmp6":     chained(58, []byte{128, 0, 0, 0, 0, 0, 0, 0}, hop),
		"four":      four,
		"four-late": laterFour,
	}
	for expression, want := range map[string][]string{
		"tcp":                             {"plain", "options", "six", "first", "later", "cut", "four", "four-late"},
		"ip6 proto 6":                     {"plain", "options", "six", "first", "later", "cut"},
		"tcp port 80":                     {"plain", "options", "six", "first", "four"},
		"port 80":                         {"plain", "options", "six", "first", "four", "udp"},
		"tcp dst port 80":                 {"plain", "options", "six", "first", "four"},
		"tcp src port 80":                 nil,
		"udp portrange 79-81":             {"udp"},
		"port 81 or port 80":              {"plain", "options", "six", "first", "four", "udp"},
		"tcp[tcpflags] = 2":               {"plain", "options", "six", "first", "four"},
		"tcp[2:2] - 70 = 10":              {"plain", "options", "six", "first", "four"},
		"70 + tcp[3] = 150":               {"plain", "options", "six", "first", "four"},
		"tcp[tcp[3] - 67] = 2":            {"plain", "options", "six", "first", "four"},
		"tcp[3] = udp[3] or ip6 proto 59": nil,
		"icmp6":                           {"icmp6"},
		"icmp6[0] = 128":                  {"icmp6"},
		"ip6 proto 60":                    {"options", "six", "seven", "cut"},
		"proto 44":                        {"six", "seven", "first", "later"},
		"ip6 protochain 51":               {"six", "seven"},
		"protochain 17":                   {"udp"},
	} {
		p := compile(t, expression, Options{Dialect: DialectTunrec})
		for name, packet := range packets {
			if got := p.Match(packet, len(packet)); got != slices.Contains(want, name) {
				t.Errorf("%q accepts %s: %v", expression, name, got)
			}
		}
	}
}

// TestDialectTunrecAgainstReference compares with a walk in plain Go, on
// packets of all kinds.
func TestDialectTunrecAgainstReference(t *testing.T) {
	programs := map[byte]*Program{}
	for proto, expression := range map[byte]string{6: "tcp port 80", 17: "udp port 80", 132: "sctp port 80"} {
		programs[proto] = compile(t, expression, Options{Dialect: DialectTunrec})
	}
	accepted := 0
	for i, c := range corpus(9, 20000) {
		for proto, p := range programs {
			want := hasPort(c.data, proto, 80)
			if got := p.Match(c.data, c.origLen); got != want {
				t.Fatalf("packet %d (%x), protocol %d: %v, want %v", i, c.data, proto, got, want)
			}
			if want && c.data[0]>>4 == 6 && c.data[6] != proto {
				accepted++
			}
		}
	}
	if accepted < 50 {
		t.Errorf("only %d packets with extension headers were accepted", accepted)
	}
}

// hasPort is what "proto port p" means in DialectTunrec.
func hasPort(b []byte, proto byte, port uint16) (found bool) {
	if len(b) == 0 {
		return false
	}
	at := 0
	switch b[0] >> 4 {
	case 4:
		at = 4 * int(b[0]&15)
		if len(b) < 10 || b[9] != proto || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return false
		}
	case 6:
		passed, last, lastAt, later := chainOf(b, maxHeaders)
		if passed == nil || last != proto || later {
			return false
		}
		at = lastAt
	default:
		return false
	}
	if len(b) >= at+2 && binary.BigEndian.Uint16(b[at:]) == port {
		return true
	}
	return len(b) >= at+4 && binary.BigEndian.Uint16(b[at+2:]) == port
}

// chainOf walks along the headers of an IPv6 packet: it returns the numbers of
// those passed, and the last one, with its offset and whether it is in an
// earlier fragment. passed is nil if the packet is cut short before.
func chainOf(b []byte, most int) (passed []byte, last byte, at int, later bool) {
	if len(b) < 7 {
		return nil, 0, 0, false
	}
	passed, last, at = []byte{}, b[6], 40
	for len(passed) < most {
		unit, plus := 8, 1
		switch last {
		case headerAH:
			unit, plus = 4, 2
		case headerHopByHop, headerRouting, headerFragment, headerDestination, headerMobility, headerHIP, headerShim6:
		default:
			return passed, last, at, false
		}
		if len(b) < at+2 || last == headerFragment && len(b) < at+4 {
			return nil, 0, 0, false
		}
		if last == headerFragment && binary.BigEndian.Uint16(b[at+2:])&0xfff8 != 0 {
			return append(passed, last), b[at], at, true
		}
		passed = append(passed, last)
		last, at = b[at], at+unit*(plus+int(b[at+1]))
	}
	return passed, last, at, false
}

// TestProtochainAgainstLibpcap leaves out the packets that libpcap goes astray
// in: those with an authentication header, whose length it takes for an offset.
func TestProtochainAgainstLibpcap(t *testing.T) {
	var packets []captured
	for _, c := range corpus(12, 1500) {
		if !bytes.Contains(c.data, []byte{headerAH}) {
			packets = append(packets, c)
		}
	}
	o := newOracle(t, packets)
	for _, expression := range []string{"ip6 protochain 6", `ip6 protochain \udp`, "protochain 44", "not protochain 60", "ip protochain 17"} {
		want, err := o.verdicts(t, expression, false)
		if err != nil {
			t.Fatal(err)
		}
		p := compile(t, expression, Options{})
		for i, c := range packets {
			if got := p.Match(c.data, c.origLen); got != want[i] {
				if passed, _, _, _ := chainOf(c.data, maxHeaders); len(passed) == maxHeaders {
					continue // libpcap has no limit
				}
				t.Errorf("%q: packet %d (%x): %v", expression, i, c.data, got)
			}
		}
	}
}

// TestDialectTunrecSharesWalks keeps a filter with many ports within bounds:
// only the first one walks.
func TestDialectTunrecSharesWalks(t *testing.T) {
	one := len(compile(t, "port 1001", Options{Dialect: DialectTunrec}).Instructions())
	twenty := len(compile(t, twentyPorts, Options{Dialect: DialectTunrec}).Instructions())
	if twenty > 2*one {
		t.Errorf("one port needs %d instructions, twenty need %d", one, twenty)
	}
}
