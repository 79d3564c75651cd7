package netconf

import (
	"net/netip"
	"testing"
)

func TestFreePair(t *testing.T) {
	for _, tt := range []struct {
		name, inUse         string
		pair, skipped, fail string
	}{
		{name: "nothing", pair: "10.1.0.10,10.1.0.20"},
		{name: "local", inUse: "10.1.0.10/32", pair: "10.2.0.10,10.2.0.20", skipped: "10.1.0.10/32"},
		{name: "peer", inUse: "10.1.0.20/32", pair: "10.2.0.10,10.2.0.20", skipped: "10.1.0.20/32"},
		{name: "beside", inUse: "10.1.0.128/25", pair: "10.1.0.10,10.1.0.20"},
		{name: "later", inUse: "10.2.0.0/16", pair: "10.1.0.10,10.1.0.20"},
		{name: "some", inUse: "10.0.0.0/15", pair: "10.2.0.10,10.2.0.20", skipped: "10.0.0.0/15"},
		{name: "half", inUse: "10.0.0.0/9", pair: "10.128.0.10,10.128.0.20", skipped: "10.0.0.0/9"},
		{name: "all", inUse: "10.0.0.0/8", skipped: "10.0.0.0/8",
			fail: "no pair of addresses from 10.1.0.10,10.1.0.20 to 10.254.0.10,10.254.0.20 is free (10.0.0.0/8): choose one with --addr"},
	} {
		var inUse []claim
		if tt.inUse != "" {
			inUse = []claim{{netip.MustParsePrefix(tt.inUse), tt.inUse}}
		}
		a, skipped, err := freePair(inUse)
		if !sameError(err, tt.fail) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.fail)
		}
		if err == nil && a.String() != tt.pair {
			t.Errorf("%s: pair %s, want %s", tt.name, a, tt.pair)
		}
		if skipped != tt.skipped {
			t.Errorf("%s: skipped %q, want %q", tt.name, skipped, tt.skipped)
		}
	}
}

func TestClaimsPairs(t *testing.T) {
	for prefix, want := range map[string]bool{
		"10.1.0.0/24":  true,
		"10.0.0.0/8":   true,
		"8.0.0.0/5":    true,
		"0.0.0.0/2":    true,
		"0.0.0.0/0":    false,
		"0.0.0.0/1":    false,
		"128.0.0.0/1":  false,
		"11.0.0.0/8":   false,
		"fd00::/8":     false,
		"127.0.0.1/32": false,
	} {
		if got := claimsPairs(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("claimsPairs(%s) = %t", prefix, got)
		}
	}
}
