package netconf

import (
	"fmt"
	"testing"
)

func TestParseResolvConf(t *testing.T) {
	const text = "# nameserver 192.0.2.1\nsearch example.net\n nameserver 192.0.2.53 \nnameserver\tfe80::53%eth0\n" +
		"nameserver ::ffff:192.0.2.54\nnameserver\nnameserver none\nnameserver 127.0.0.53\n"
	if got := fmt.Sprint(parseResolvConf(text)); got != "[192.0.2.53 fe80::53 192.0.2.54 127.0.0.53]" {
		t.Error(got)
	}
}

func TestParseSSHConnection(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.5 51234 192.0.2.7 22":           "203.0.113.5",
		"2001:db8::5 51234 2001:db8::7 22":         "2001:db8::5",
		"fe80::5%eth0 51234 fe80::7%eth0 22":       "fe80::5",
		"::ffff:203.0.113.5 5 ::ffff:192.0.2.7 22": "203.0.113.5",
		"127.0.0.1 51234 127.0.0.1 22":             "",
		"UNKNOWN 65535 UNKNOWN 65535":              "",
		"":                                         "",
	} {
		ip, ok := parseSSHConnection(in)
		got := ""
		if ok {
			got = ip.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
