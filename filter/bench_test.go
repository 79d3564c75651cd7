package filter

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

var (
	twentyPorts = "port 1001" + strings.Join(numbered(" or 10%02d", 2, 20), "")
	twentyHosts = "host 9.0.0.1" + strings.Join(numbered(" or 9.0.0.%d", 2, 20), "")
	twentyMixed = "tcp port 80 or tcp port 443 or udp port 53 or udp port 123 or icmp or net 9.1.0.0/16 or host 9.0.0.1 or tcp port 22 " +
		"or host 2001:db8:9::1 or port 5060 or src net 9.2.0.0/16 or dst net 9.3.0.0/16 or udp portrange 6000-6063 or tcp port 25 " +
		"or host 9.0.0.2 or port 3478 or icmp6 or tcp port 993 or udp port 500 or tcp[tcpflags] & tcp-rst != 0"
)

func numbered(format string, first, last int) (out []string) {
	for i := first; i <= last; i++ {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

// samples are a packet that each of the filters accepts late or not at all.
func samples() map[string][]byte {
	header4 := func(proto byte) []byte {
		return []byte{0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, proto, 0, 0, 10, 1, 2, 3, 10, 4, 5, 6}
	}
	ports := []byte{0xc0, 0x01, 0xc0, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0}
	six := make([]byte, 40)
	six[0], six[6] = 0x60, 6
	return map[string][]byte{
		"tcp4": append(header4(6), ports...),
		"udp4": append(header4(17), ports...),
		"tcp6": append(six, ports...),
	}
}

var benchmarks = map[string]string{
	"tcp-port-443": "tcp port 443",
	"20-ports":     twentyPorts,
	"20-hosts":     twentyHosts,
	"20-mixed":     twentyMixed,
}

func BenchmarkMatch(b *testing.B) {
	for name, expression := range benchmarks {
		p := compile(b, expression, Options{})
		for kind, packet := range samples() {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p.Match(packet, len(packet))
				}
			})
		}
	}
}

func BenchmarkMatchXNet(b *testing.B) {
	for name, expression := range benchmarks {
		vm := reference(compile(b, expression, Options{}).Instructions())
		for kind, packet := range samples() {
			b.Run(name+"/"+kind, func(b *testing.B) { runXNet(b, vm, packet) })
		}
	}
}

func runXNet(b *testing.B, vm *bpf.VM, packet []byte) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := vm.Run(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for name, expression := range benchmarks {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(expression, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
