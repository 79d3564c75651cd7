package netconf

import (
	"net/netip"
	"testing"
)

func TestFreePair(t *testing.T) {
	for _, tt := range []struct {
		name, inUse   string
		pair, skipped string // pair "": none is free
	}{
		{name: "nothing", pair: "10.1.0.10,10.1.0.20"},
		{name: "local", inUse: "10.1.0.10/32", pair: "10.2.0.10,10.2.0.20", skipped: "10.1.0.10/32"},
		{name: "peer", inUse: "10.1.0.20/32", pair: "10.2.0.10,10.2.0.20", skipped: "10.1.0.20/32"},
		{name: "beside", inUse: "10.1.0.128/25", pair: "10.1.0.10,10.1.0.20"},
		{name: "later", inUse: "10.2.0.0/16", pair: "10.1.0.10,10.1.0.20"},
		{name: "some", inUse: "10.0.0.0/15", pair: "10.2.0.10,10.2.0.20", skipped: "10.0.0.0/15"},
		{name: "half", inUse: "10.0.0.0/9", pair: "10.128.0.10,10.128.0.20", skipped: "10.0.0.0/9"},
		{name: "all", inUse: "10.0.0.0/8", skipped: "10.0.0.0/8"},
	} {
		var inUse []claim
		if tt.inUse != "" {
			inUse = []claim{{netip.MustParsePrefix(tt.inUse), tt.inUse}}
		}
		a, skipped, ok := freePair(pair4, inUse, func(Addr) bool { return true })
		if ok != (tt.pair != "") || ok && a.String() != tt.pair {
			t.Errorf("%s: pair %s, %t; want %s", tt.name, a, ok, tt.pair)
		}
		if skipped != tt.skipped {
			t.Errorf("%s: skipped %q, want %q", tt.name, skipped, tt.skipped)
		}
	}
}

func TestFreePairIsReserved(t *testing.T) {
	others := map[string]bool{"10.1.0.10,10.1.0.20": true, "10.3.0.10,10.3.0.20": true}
	inUse := []claim{{netip.MustParsePrefix("10.2.0.0/24"), "10.2.0.0/24 is on eth0"}}
	a, skipped, ok := freePair(pair4, inUse, func(a Addr) bool { return !others[a.String()] })
	if want := "another tunrec has 10.1.0.10,10.1.0.20"; !ok || a.String() != "10.4.0.10,10.4.0.20" || skipped != want {
		t.Errorf("%s, %q, %t", a, skipped, ok)
	}
	_, skipped, ok = freePair(pair4, nil, func(Addr) bool { return false })
	if ok || skipped != "another tunrec has 10.1.0.10,10.1.0.20" {
		t.Errorf("all reserved: %q, %t", skipped, ok)
	}
}

func TestPairsAreValid(t *testing.T) {
	for n := byte(1); n <= 254; n++ {
		for want, a := range map[netip.Prefix]Addr{pairs4: pair4(n), pairs6: pair6(n)} {
			if err := a.validate(); err != nil {
				t.Error(err)
			}
			if !want.Contains(a.Local.Addr()) || !want.Contains(a.Peer) {
				t.Errorf("%s is not in %s", a, want)
			}
		}
	}
	if a := pair6(7); a.String() != "fd00:10:7::10,fd00:10:7::20" {
		t.Errorf("IPv6 pair 7: %s", a)
	}
}
