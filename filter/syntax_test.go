package filter

import (
	"errors"
	"strings"
	"testing"
)

// TestErrors has a mistake in each expression, marked, and a part of what is
// said about it.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ expression, mark, says string }{
		{"tcp prt 80", "    ^^^", `did you mean "port"?`},
		{"TCP", "^^^", `did you mean "tcp"?`},
		{"tcp or udpp", "       ^^^^", `did you mean "udp"?`},
		{"port 80 and", "           ^", "end of the expression"},
		{"(port 80", "        ^", `")"`},
		{"tcp)", "   ^", `at ")"`},
		{"tcp udp", "    ^^^", `"and"`},
		{"1.2.3.4", "^^^^^^^", "write host 1.2.3.4"},
		{"tcp or 80", "       ^^", "write port 80"},
		{"port 65536", "     ^^^^^", "65535"},
		{"port 080", "     ^^^", "octal"},
		{"port 99999999999", "     ^^^^^^^^^^^", "greater than"},
		{"port 80-90", "     ^^^^^", "write portrange 80-90"},
		{"port qwertyuiop", "     ^^^^^^^^^^", `unknown port "qwertyuiop"`},
		{"tcp port 1.2.3.4", "         ^^^^^^^", "not an address"},
		{"icmp port 80", "          ^^", "write icmp and port 80"},
		{"portrange http", "          ^^^^", "range"},
		{"host 1.2.3.400", "     ^^^^^^^^^", "no IPv4 address"},
		{"host 1::2::3", "     ^^^^^^^", "no IPv6 address"},
		{"ether host 1:2:3:4:5:6", "           ^^^^^^^^^^^", "Ethernet"},
		{"host example.org", "     ^^^^^^^^^^^", "not resolved"},
		{"tcp host 1.2.3.4", "         ^^^^^^^", "write tcp and host 1.2.3.4"},
		{"ip6 host 1.2.3.4", "         ^^^^^^^", `"ip6"`},
		{"host 10.0.0.0/8", "     ^^^^^^^^^^", "write net"},
		{"net 10.0.0.1/8", "    ^^^^^^^^^^", "outside of the mask"},
		{"net 10/8", "    ^^", "10.0.0.0/8"},
		{"net 10.0.0.0/33", "             ^^", "0 to 32"},
		{"net ::/129", "       ^^^", "0 to 128"},
		{"net 10.0.0.0 mask 8", "                  ^", "255.0.0.0"},
		{"ip proto tcp", "         ^^^", `\tcp`},
		{`ip proto \tpc`, "         ^^^^", `did you mean "tcp"?`},
		{"tcp proto 6", "          ^", `"tcp"`},
		{"ip[0]", "     ^", "comparison"},
		{"ip[0] = 3-2", "        ^^^", "spaces around the minus"},
		{"ip[0:3] = 1", "     ^", "1, 2 or 4"},
		{"ip[0 = 1", "     ^", `"]"`},
		{"ah[0] = 1", "^^", `"ah"`},
		{"ip[0] / 0 = 1", "^^^^^^^^^^^^^", "division by zero"},
		{"ip[0] << 32 = 1", "^^^^^^^^^^^^^^^", "31 bits"},
		{"vlan 5", "^^^^", "no meaning on raw IP"},
		{"ether", "^^^^^", "no link layer"},
		{"inbound", "^^^^^^^", "direction"},
		{"broadcast", "^^^^^^^^^", "write ip broadcast"},
		{"ip6 broadcast", "    ^^^^^^^^^", "ip6 multicast"},
		{"less x", "     ^", "number of bytes"},
		{"tcp @ udp", "    ^", "unexpected character"},
		{"port é", "     ^", "unexpected character"},
		{strings.Repeat("(", 300) + "tcp", strings.Repeat(" ", 200) + "^", "more than 200"},
		{strings.Repeat("!", 300) + "tcp", strings.Repeat(" ", 200) + "^", "more than 200"},
		{"ip[" + strings.Repeat("(", 300), strings.Repeat(" ", 201) + "^", "more than 200"},
	} {
		_, err := Compile(c.expression, Options{})
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: error %v", c.expression, err)
			continue
		}
		if _, mark, _ := strings.Cut(syntax.Caret(), "\n"); mark != c.mark {
			t.Errorf("%q is marked\n%s", c.expression, syntax.Caret())
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %q does not say %q", c.expression, err, c.says)
		}
	}
}

func TestOtherErrors(t *testing.T) {
	for expression, says := range map[string]string{
		"ip and ip6": "rejects all packets",
		"dst host 10.9.9.9 and dst net 192.0.2.0/24":                      "rejects all packets",
		"dst net 10.0.0.0/8 and (dst net 11.0.0.0/8 or dst host 9.9.9.9)": "rejects all packets",
		"dst host 2001:db9::1 and dst net 2001:db8::/32":                  "rejects all packets",
		"port 1" + strings.Join(numbered(" or %d", 2, 6000), ""):          "tests, more than",
		"arp":                                "rejects all packets",
		strings.Repeat(" ", maxExpression+1): "bytes, more than",
		"port 1" + strings.Join(numbered(" or ip[%d] = ip[len]", 1, 3000), ""): "instructions, more than 4096",
	} {
		if _, err := Compile(expression, Options{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: error %v does not say %q", expression, err, says)
		}
	}
	if _, err := Compile("tcp", Options{Snaplen: -1}); err == nil {
		t.Error("a negative snaplen was taken")
	}
}

// TestLongArithmetic has sums that are long, but need few cells.
func TestLongArithmetic(t *testing.T) {
	packet := []byte{0x45, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	for expression, want := range map[string]bool{
		"ip[0]" + strings.Repeat(" - ip[1]", 100) + " = 0xffffffe1":                                  true,
		"ip[0] - " + strings.Repeat("(ip[1] - ", 99) + "ip[1]" + strings.Repeat(")", 99) + " = 0x45": true,
		"ip[0]" + strings.Repeat(" - ip[1]", 100) + " = 0xffffffe2":                                  false,
	} {
		if got := compile(t, expression, Options{}).Match(packet, len(packet)); got != want {
			t.Errorf("%.20q…: %v", expression, got)
		}
	}
}

func TestOptions(t *testing.T) {
	packet := []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 192, 168, 1, 255}
	for _, c := range []struct {
		expression string
		o          Options
		want       bool
	}{
		{"ip broadcast", Options{}, false},
		{"ip broadcast", Options{Netmask: 0xffffff00}, true},
		{"ip broadcast", Options{Netmask: 0xffff0000}, false},
		{"outbound and icmp", Options{Direction: DirectionOut}, true},
		{"not inbound", Options{Direction: DirectionOut}, true},
		{"inbound", Options{Direction: DirectionIn}, true},
		{"outbound or tcp", Options{Direction: DirectionIn}, false},
		{"host localhost or icmp", Options{Resolve: true}, true},
	} {
		if got := compile(t, c.expression, c.o).Match(packet, len(packet)); got != c.want {
			t.Errorf("%q with %+v: %v", c.expression, c.o, got)
		}
	}
	for snaplen, want := range map[int]uint32{0: DefaultSnaplen, 96: 96} {
		program := compile(t, "", Options{Snaplen: snaplen}).Instructions()
		if len(program) != 1 || program[0] != (Instruction{Op: classRET, K: want}) {
			t.Errorf("with snaplen %d: %+v", snaplen, program)
		}
	}
}

func TestResolve(t *testing.T) {
	p := compile(t, "ip host localhost", Options{Resolve: true})
	packet := []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 1, 0, 0, 127, 0, 0, 1, 10, 0, 0, 1}
	if !p.Match(packet, len(packet)) {
		t.Error("localhost is not 127.0.0.1")
	}
	for _, expression := range []string{"host no.such.host.invalid", "net no-such-network"} {
		if _, err := Compile(expression, Options{Resolve: true}); err == nil {
			t.Errorf("%q was resolved", expression)
		}
	}
}

func TestNames(t *testing.T) {
	n := parseNames("# comment\nhttp 80/tcp www # web\nhttp 80/udp\nhttp 81/tcp\nbad x/tcp\nsctp-only 5/sctp\n", "tcp 6 TCP\nodd x\ntcp 7\n")
	if got := n.services["www"]; got != (service{tcp: 80, udp: -1}) {
		t.Errorf("www is %+v", got)
	}
	if got := n.services["http"]; got != (service{tcp: 80, udp: 80}) {
		t.Errorf("http is %+v", got)
	}
	if n.protocols["TCP"] != 6 || n.protocols["tcp"] != 6 || len(n.protocols) != 2 {
		t.Errorf("protocols are %v", n.protocols)
	}
	builtin := parseNames(builtinServices, builtinProtocols)
	if builtin.services["domain"] != (service{tcp: 53, udp: 53}) || builtin.protocols["ipv6-icmp"] != 58 {
		t.Error("the built-in tables lack what every system has")
	}
}

func TestExplain(t *testing.T) {
	for expression, want := range map[string]string{
		"": "accepts a packet if\n  - it is any packet\n",
		"tcp port 443 and not net 10.0.0.0/8": `accepts a packet if
  - all of:
    - the TCP source or destination port is 443
    - not: the IPv4 source or destination address is in 10.0.0.0/8
note: ports are not looked for behind IPv6 extension headers (the dialect tunrec does)
`,
		"ip or not (udp[0:2] + len > 5 && src ::1) or ip6": `accepts a packet if
  - any of:
    - it is IPv4
    - not: all of:
      - (2 bytes from byte 0 of udp + the packet's length) > 5
      - the IPv6 source address is ::1
    - it is IPv6
note: bytes of a transport protocol are looked at in IPv4 packets only (the dialect tunrec: in both)
`,
	} {
		if got := compile(t, expression, Options{}).Explain(); got != want {
			t.Errorf("%q is explained as\n%s", expression, got)
		}
	}
}
