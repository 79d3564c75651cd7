package load

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParsePayload(t *testing.T) {
	at := time.Unix(1_700_000_000, 123_456_789)
	b := make([]byte, HeaderBytes)
	putHeader(b, 1<<40+7, at)
	seq, ns, ok := ParsePayload(b)
	if !ok || seq != 1<<40+7 || ns != at.UnixNano() {
		t.Fatalf("got %d, %d, %v", seq, ns, ok)
	}
	if _, _, ok := ParsePayload(b[:HeaderBytes-1]); ok {
		t.Error("a payload one byte short was taken")
	}
	b[0] ^= 1
	if _, _, ok := ParsePayload(b); ok {
		t.Error("a payload with another magic was taken")
	}
}

func TestSendRefusesBadConfig(t *testing.T) {
	good := Config{Dst: netip.MustParseAddrPort("192.0.2.1:9"), Packets: 1}
	for field, spoil := range map[string]func(*Config){
		"Dst":                        func(c *Config) { c.Dst = netip.AddrPort{} },
		"Packets is":                 func(c *Config) { c.Packets = 0 },
		"PacketsPerSecond":           func(c *Config) { c.PacketsPerSecond = -1 },
		"PayloadBytes 19":            func(c *Config) { c.PayloadBytes = HeaderBytes - 1 },
		"PayloadBytes 65508":         func(c *Config) { c.PayloadBytes = maxSendBytes + 1 },
		"Segments 129":               func(c *Config) { c.Segments = maxSegments + 1 },
		"Segments 64 × PayloadBytes": func(c *Config) { c.Segments, c.PayloadBytes = 64, 1024 },
	} {
		c := good
		spoil(&c)
		if _, err := Send(context.Background(), c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got error %v", field, err)
		}
	}
}
