package netconf

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func prefixes(s string) (all []netip.Prefix) {
	for _, f := range strings.Fields(s) {
		all = append(all, netip.MustParsePrefix(f))
	}
	return all
}

func TestCarve(t *testing.T) {
	for _, tt := range []struct{ whole, holes, want string }{
		{"10.0.0.0/8", "", "10.0.0.0/8"},
		{"10.0.0.0/8", "192.0.2.0/24", "10.0.0.0/8"},
		{"10.0.0.0/8", "10.0.0.0/8", ""},
		{"10.0.0.0/8", "0.0.0.0/0", ""},
		{"10.0.0.0/8", "10.128.0.0/9", "10.0.0.0/9"},
		{"10.0.0.0/30", "10.0.0.1/32", "10.0.0.0/32 10.0.0.2/31"},
		{"0.0.0.0/0", "128.0.0.0/2", "0.0.0.0/1 192.0.0.0/2"},
		{"0.0.0.0/30", "0.0.0.0/32 0.0.0.3/32", "0.0.0.1/32 0.0.0.2/32"},
		{"::/0", "8000::/2", "::/1 c000::/2"},
		{"fd00::/126", "fd00::2/128", "fd00::/127 fd00::3/128"},
	} {
		if got := carve(prefixes(tt.whole)[0], prefixes(tt.holes)); !slices.Equal(got, prefixes(tt.want)) {
			t.Errorf("%s without %s: %v, want %s", tt.whole, tt.holes, got, tt.want)
		}
	}
	for hole, want := range map[string]int{"192.0.2.53/32": 32, "2001:db8::53/128": 128} {
		h := netip.MustParsePrefix(hole)
		whole := netip.PrefixFrom(h.Addr(), 0).Masked()
		if got := carve(whole, []netip.Prefix{h}); len(got) != want {
			t.Errorf("%s: %d pieces, want %d", hole, len(got), want)
		}
	}
}

// Every address is in exactly one piece, or in a hole and in none.
func TestCarveCoversAllButTheHoles(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	address := func() netip.Addr { // of a small space, so that much meets
		return netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(4)), byte(random.IntN(256))})
	}
	for range 2000 {
		whole := netip.PrefixFrom(address(), random.IntN(33)).Masked()
		var holes []netip.Prefix
		for range random.IntN(4) {
			holes = append(holes, netip.PrefixFrom(address(), 20+random.IntN(13)).Masked())
		}
		pieces := carve(whole, holes)
		for range 50 {
			a := address()
			has := func(p netip.Prefix) bool { return p.Contains(a) }
			want := 0
			if whole.Contains(a) && !slices.ContainsFunc(holes, has) {
				want = 1
			}
			got := 0
			for _, p := range pieces {
				if has(p) {
					got++
				}
			}
			if got != want {
				t.Fatalf("%s without %v: %s is in %d of %v, want %d", whole, holes, a, got, pieces, want)
			}
		}
	}
}

// fakeRoutes reads "PREFIX [via HOP] [table local|other]" separated by commas.
func fakeRoutes(text string) eachRoute {
	return func(add func(route)) error {
		for line := range strings.SplitSeq(text, ",") {
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			r := route{to: netip.MustParsePrefix(fields[0]), device: 2, table: mainTable}
			for i := 1; i+1 < len(fields); i += 2 {
				switch fields[i] + " " + fields[i+1] {
				case "table local":
					r.table = localTable
				case "table other":
					r.table = otherTable
				default:
					r.via = append(r.via, netip.MustParseAddr(fields[i+1]))
				}
			}
			add(r)
		}
		return nil
	}
}

const lan = "0.0.0.0/0 via 192.0.2.1, 192.0.2.0/24, 192.0.2.7/32 table local"

func TestPieces(t *testing.T) {
	for _, tt := range []struct {
		name, routes, exclude, system string
		table                         int
		want                          string // "N pieces" where they are many
	}{
		{name: "plain", routes: "198.51.100.0/24", system: lan, want: "198.51.100.0/24"},
		{name: "default", routes: "0.0.0.0/0 ::/0", system: lan, want: "0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1"},
		{name: "default in a table", routes: "0.0.0.0/0 ::/0", system: lan, table: 7, want: "0.0.0.0/0 ::/0"},
		{name: "exception", routes: "198.51.100.0/24", exclude: "198.51.100.128/25", system: lan, want: "198.51.100.0/25"},
		{name: "exception in a table", routes: "0.0.0.0/0", exclude: "192.0.0.0/2", system: lan, table: 7, want: "0.0.0.0/1 128.0.0.0/2"},
		{name: "exception in a table, routed in main", routes: "192.0.0.0/16", exclude: "192.0.0.0/17", system: "192.0.0.0/17", table: 7, want: "192.0.128.0/17"},
		{name: "far host", routes: "0.0.0.0/0", exclude: "203.0.113.5/32", system: lan, want: "32 pieces"},
		{name: "host on the network", routes: "0.0.0.0/0", exclude: "192.0.2.1/32", system: lan, want: "0.0.0.0/1 128.0.0.0/1"},
		{name: "own address", routes: "0.0.0.0/0", exclude: "192.0.2.7/32", system: "0.0.0.0/0, 192.0.2.7/32 table local", want: "0.0.0.0/1 128.0.0.0/1"},
		{name: "in another table", routes: "0.0.0.0/0", exclude: "192.0.2.1/32", system: "192.0.2.0/24 table other", want: "32 pieces"},
		{name: "network larger than the route", routes: "192.0.2.0/25", exclude: "192.0.2.64/26", system: lan, want: "192.0.2.0/26"},
		{name: "as large as a network", routes: "192.0.0.0/22", exclude: "192.0.3.0/24", system: "0.0.0.0/0, 192.0.2.0/24", want: "192.0.0.0/23"},
	} {
		c := Config{Routes: prefixes(tt.routes), Exclude: prefixes(tt.exclude), Table: tt.table}
		pieces, err := c.pieces(fakeRoutes(tt.system))
		got := strings.Trim(fmt.Sprint(pieces), "[]")
		if len(pieces) > 9 {
			got = fmt.Sprintf("%d pieces", len(pieces))
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}
