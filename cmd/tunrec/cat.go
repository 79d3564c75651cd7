package main

import (
	"errors"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/extract"
)

func catCommand() *cli.Command {
	return &cli.Command{
		Name: "cat", Usage: "print captures as one plain pcapng, in time order",
		UsageText: "tunrec cat [--follow] [FILTER] FILE|DIR|PREFIX... | wireshark -k -i -",
		Description: "Writes the packets of files, of all captures in a directory or of a series to standard\n" +
			"output, as one section of raw IP packets, in time order. In a directory the captures of\n" +
			"other programs count, too (pcap, pcapng, gzip, zstd), whatever their names.\n\n" +
			"FILTER is in the language of pcap-filter(7), in one word or several. The last words, as\n" +
			"far as there are files, directories or series of these names, are what is read; all\n" +
			"words before them are the filter. In quotes it is taken for no file's name.\n\n" +
			"With --follow it goes on with a file that is being written as its packets are flushed.\n" +
			"A single file is followed until it is complete, a plain pcap or pcapng that another\n" +
			"program writes until Ctrl-C. Of a directory or a series tunrec's files are read one by\n" +
			"one, and then those that come, until Ctrl-C.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Usage: "go on with what is being recorded", DisableDefaultText: true},
			filterDialectFlag, resolveFlag,
			&cli.BoolFlag{Name: "q", Usage: "print errors only", DisableDefaultText: true},
		},
		Action: cat, OnUsageError: onUsageError,
	}
}

func cat(c *cli.Context) error {
	words, err := arguments(c)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return usageError(errors.New("no capture file given"), "tunrec cat FILE | tshark -r -")
	}
	if term.IsTerminal(int(os.Stdout.Fd())) {
		return usageError(errors.New("standard output is a terminal: a capture would garble it"), "tunrec cat FILE | wireshark -k -i -")
	}
	match, names, err := splitFilter(c, words)
	if err != nil {
		return err
	}
	ui := newUI(c.Bool("q"), false)
	if c.Bool("follow") {
		return follow(names, match, ui)
	}
	in, err := openInputs(names, ui)
	if err != nil {
		return err
	}
	format := extract.Format{Form: capfile.Stream, Section: extract.Section(in.files)}
	o := extract.Everything
	applyFilter(match, &o, &format.Section)
	return extractTo(in, output{"-", capfile.Stream}, format, o, ui, false)
}
