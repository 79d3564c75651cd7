package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/tunrec/tunrec/capfile"
)

// compression is the value of --compress.
type compression struct {
	none   bool
	method capfile.Method
}

func parseCompress(s string) (compression, error) {
	kind, level, hasLevel := strings.Cut(s, ":")
	switch {
	case kind == "none" && !hasLevel:
		return compression{none: true}, nil
	case kind == "zstd" && !hasLevel:
		return compression{method: capfile.Fastest}, nil
	case kind == "zstd":
		m, err := capfile.ParseMethod(level)
		if err != nil {
			return compression{}, fmt.Errorf("--compress %q: %w", s, err)
		}
		return compression{method: m}, nil
	}
	return compression{}, fmt.Errorf("--compress %q: has to be zstd, zstd:LEVEL or none", s)
}

// output is where the recording goes.
type output struct {
	name string // "": named after device and time; "-": standard output
	form capfile.Form
}

// Suffixes of other formats. A file that is named so would lie.
var foreignSuffixes = []string{".pcap", ".cap", ".gz", ".xz", ".bz2", ".lz4", ".lzo", ".zip", ".pcap.zst", ".cap.zst"}

// resolveOutput decides name and form by -o and --compress. The suffix tells
// the truth: .pcapng.zst is compressed, .pcapng is not.
func resolveOutput(name string, c compression, explicit bool) (output, error) {
	form := capfile.Zstd
	if c.none {
		form = capfile.Plain
	}
	switch {
	case name == "":
		return output{"", form}, nil
	case name == "-":
		if explicit && !c.none {
			return output{}, errors.New("-o - writes plain pcapng: it contradicts --compress zstd")
		}
		if term.IsTerminal(int(os.Stdout.Fd())) {
			return output{}, errors.New("-o - writes packets, and standard output is a terminal: pipe it, as in … | wireshark -k -i -")
		}
		return output{"-", capfile.Stream}, nil
	case strings.HasSuffix(name, "/") || isDirectory(name):
		return output{}, fmt.Errorf("-o %s: is a directory, name a file in it", name)
	}
	lower := strings.ToLower(name)
	for _, s := range foreignSuffixes {
		if strings.HasSuffix(lower, s) {
			stem := strings.TrimSuffix(name[:len(name)-len(s)], ".pcapng")
			return output{}, fmt.Errorf("-o %s: tunrec writes pcapng, name it %s.pcapng", name, stem)
		}
	}
	base, zst := strings.CutSuffix(name, ".zst")
	if zst && c.none {
		return output{}, fmt.Errorf("-o %s contradicts --compress none: name it %s", name, base)
	}
	if !strings.HasSuffix(base, ".pcapng") {
		base += ".pcapng"
	}
	return output{withSuffix(base, form), form}, nil
}

func isDirectory(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// withSuffix adds what the form adds to NAME.pcapng.
func withSuffix(pcapng string, f capfile.Form) string {
	if f == capfile.Zstd {
		return pcapng + ".zst"
	}
	return pcapng
}

// stem is the name of a series without its suffix, and the suffix.
func (o output) stem(iface string) (name, suffix string) {
	suffix = withSuffix(".pcapng", o.form)
	if o.name == "" {
		return "tunrec_" + iface, suffix
	}
	return strings.TrimSuffix(o.name, suffix), suffix
}

// named is the file's name; where none was given it says the interface and
// when the recording began, in local time.
func (o output) named(iface string, start time.Time) string {
	if o.name != "" {
		return o.name
	}
	return withSuffix(fmt.Sprintf("tunrec_%s_%s.pcapng", iface, start.Format("20060102150405")), o.form)
}
