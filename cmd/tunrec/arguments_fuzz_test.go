package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/tunrec/tunrec/capfile"
)

// FuzzArguments: Wireshark's calls become extcap's, and no others; the name of a file
// says its form, whatever was asked for.
func FuzzArguments(f *testing.F) {
	f.Add("--extcap-interfaces", "--extcap-version=4.0", "zstd:best")
	f.Add("-o", "a.pcapng.zst", "none")
	f.Add("--capture", "--extcap-interface", "zstd")
	f.Fuzz(func(t *testing.T, a, b, method string) {
		args := []string{"tunrec", a, b}
		got := withExtcap(args)
		isCall := strings.HasPrefix(a, "--") && (strings.HasPrefix(a, "--extcap-") || strings.HasPrefix(b, "--extcap-"))
		if want := slices.Insert(slices.Clone(args), 1, "extcap"); isCall && !slices.Equal(got, want) || !isCall && !slices.Equal(got, args) {
			t.Errorf("%q has become %q", args, got)
		}
		c, err := parseCompress(method)
		if err != nil {
			return
		}
		o, err := resolveOutput(b, c, true)
		if err != nil || o.name == "" {
			return
		}
		if isZstd := strings.HasSuffix(o.name, ".pcapng.zst"); o.form != capfile.Stream && (o.form == capfile.Zstd) != isZstd || c.none == isZstd {
			t.Errorf("-o %q with %s is %+v", b, method, o)
		}
	})
}

// FuzzHarmless: whatever a file says can be shown, and shell words are themselves.
func FuzzHarmless(f *testing.F) {
	f.Add(controls)
	f.Add("a'b\xff")
	f.Fuzz(func(t *testing.T, s string) {
		wantHarmless(t, "harmless", harmless(s))
		wantHarmless(t, "printable", printable(s))
		text, err := jsonLine(s)
		if err != nil {
			t.Fatal(err)
		}
		wantHarmless(t, "jsonLine", text)
	})
}
