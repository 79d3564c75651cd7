package main

import (
	"flag"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/catalog"
	"github.com/tunrec/tunrec/extract"
	"github.com/tunrec/tunrec/filter"
	"github.com/tunrec/tunrec/pcapng"
)

// The FILTER that stands before the files that slice and cat read.

var (
	filterDialectFlag = &cli.StringFlag{Name: "filter-dialect", Value: "libpcap", Usage: "`DIALECT` of FILTER: libpcap or tunrec"}
	resolveFlag       = &cli.BoolFlag{Name: "resolve", Usage: "look up host names in FILTER", DisableDefaultText: true}
)

// splitFilter takes the words, of which there is at least one, apart: a filter,
// which may be missing (nil), then files. The last word is a file, and so are
// the ones before it as long as they name captures.
func splitFilter(c *cli.Context, words []string) (match *filter.Program, names []string, err error) {
	at := len(words)
	for at > 0 && namesCaptures(words[at-1]) {
		at--
	}
	switch at {
	case 0:
		return nil, words, nil
	case len(words):
		_, _, err := catalog.Expand(words[at-1])
		if at > 1 {
			err = usageError(err, "files stand behind the filter")
		}
		return nil, nil, err
	}
	match, err = compileFilter(withArguments(c, words[:at]), filter.Options{})
	return match, words[at:], err
}

func namesCaptures(word string) bool {
	if word == "-" {
		return true
	}
	if _, err := os.Stat(word); err == nil {
		return true
	}
	if _, err := os.Stat(filepath.Dir(word)); err != nil {
		return false
	}
	_, _, err := catalog.Expand(word)
	return err == nil
}

// withArguments is the context with other words behind its flags.
func withArguments(c *cli.Context, words []string) *cli.Context {
	set := flag.NewFlagSet(c.Command.Name, flag.ContinueOnError)
	set.Parse(append([]string{"--"}, words...)) // it has no flags, so no errors
	return cli.NewContext(c.App, set, c)
}

// applyFilter lets an extraction take what a filter accepts, and notes it in
// the section. Without a filter, nil, it does nothing.
func applyFilter(match *filter.Program, o *extract.Options, s *pcapng.Section) {
	if match == nil {
		return
	}
	o.Match = match.Match
	if s.Filter == "" {
		s.Filter = match.String()
	} else {
		s.Filter = "(" + s.Filter + ") and (" + match.String() + ")"
	}
}
