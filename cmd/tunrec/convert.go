package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/extract"
)

func convertCommand() *cli.Command {
	return &cli.Command{
		Name: "convert", Usage: "write a capture in another form",
		UsageText: "tunrec convert IN -o OUT [--compress METHOD] [--frames]",
		Description: "Writes all packets of IN, a capture of tunrec's or any pcap or pcapng, to OUT: plain\n" +
			"(--compress none), in one zstd frame, or with --frames in a zstd frame for every 4 MiB.\n" +
			"Every Wireshark reads the first two. In the third, Wireshark 4.4 and later goes faster\n" +
			"back and forth in very large files; older ones do not read it, and it has no index.\n" +
			"With a level (--compress zstd:best) all is compressed anew, else chunks are copied\n" +
			"where they can be.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "o", Usage: "write to `OUT`, NAME.pcapng[.zst], or - for plain pcapng to standard output"},
			&cli.StringFlag{Name: "compress", Value: "zstd", Usage: "`METHOD`: zstd, zstd:fastest, zstd:default, zstd:better, zstd:best or none"},
			&cli.BoolFlag{Name: "frames", Usage: "a zstd frame for every 4 MiB, for Wireshark 4.4 and later", DisableDefaultText: true},
			&cli.BoolFlag{Name: "q", Usage: "print errors only", DisableDefaultText: true},
		},
		Action: convert, OnUsageError: onUsageError,
	}
}

func convert(c *cli.Context) error {
	words, err := arguments(c)
	if err != nil {
		return err
	}
	hint := "tunrec convert --help lists the flags"
	if len(words) != 1 {
		return usageError(fmt.Errorf("one capture file is converted, %d are given", len(words)), hint)
	}
	out, format, err := extractOutput(c)
	if err != nil {
		return err
	}
	if format.Frames = c.Bool("frames"); format.Frames && out.form != capfile.Zstd {
		return usageError(errors.New("--frames is a form of zstd: it contradicts -o - and --compress none"), hint)
	}
	ui := newUI(c.Bool("q"), false)
	in, err := openInputs(words, ui)
	if err != nil {
		return err
	}
	if len(in.files) > 1 {
		return usageError(fmt.Errorf("%s is more than one file", words[0]), "tunrec slice DIR -o OUT joins a series")
	}
	format.Section = in.files[0].Info.Section
	o := extract.Everything
	if stat, err := os.Stat(in.files[0].Name); err == nil { // else it is standard input
		bar := newProgress(ui, "convert "+in.files[0].Name, stat.Size())
		defer bar.done()
		o.Progress = bar.set
	}
	return extractTo(in, out, format, o, ui, true)
}
