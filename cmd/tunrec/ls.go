package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/catalog"
)

func lsCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "list capture files: time, packets, drops, size, state",
		UsageText: "tunrec ls [--json] [-v] [DIR | PREFIX | FILE]...",
		Description: "Lists the files that tunrec has made in a directory (default: here), the files of the\n" +
			"series that was recorded with -o PREFIX, or single files, the oldest packets first.\n" +
			"Nothing is decompressed: a thousand files take less than a second.\n\n" +
			"   complete   has its index\n" +
			"   open       is being written; the figures are those of what has been flushed\n" +
			"   cut short  its recorder was killed; it is readable as far as it goes\n" +
			"   damaged    has wrong bytes; the figures are those of what stands before them",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object a line", DisableDefaultText: true},
			&cli.BoolFlag{Name: "v", Aliases: []string{"verbose"}, Usage: "say which files are left out, and what is wrong with others", DisableDefaultText: true},
		},
		Action: ls, OnUsageError: onUsageError,
	}
}

func ls(c *cli.Context) error {
	names, asJSON, verbose, err := lsArguments(c)
	if err != nil {
		return err
	}
	files, errs := catalog.Captures(names)
	catalog.InspectAll(files)
	files, unreadable := sift(files, verbose)
	errs = append(errs, unreadable...)
	slices.SortStableFunc(files, func(a, b catalog.File) int { return cmp.Compare(a.Begin, b.Begin) })

	out := bufio.NewWriter(os.Stdout)
	if asJSON {
		printListJSON(out, files)
	} else if len(files) > 0 || len(errs) == 0 {
		printListTable(out, files)
	}
	if err := out.Flush(); err != nil {
		errs = append(errs, fmt.Errorf("write to standard output: %w", err))
	}
	if len(errs) == 0 {
		return nil
	}
	last := len(errs) - 1
	for _, err := range errs[:last] {
		printError(err) // run prints the last one
	}
	return errs[last]
}

// sift takes out of the list what cannot be catalog.File, and says what is to be said
// of files. Errors are about those that should have been readable.
func sift(files []catalog.File, verbose bool) (kept []catalog.File, errs []error) {
	ui, foreign := &ui{}, 0
	for _, f := range files {
		switch {
		case f.Err == nil:
			kept = append(kept, f)
			if f.Info.Damage != nil && verbose {
				ui.say("%v", f.Info.Damage)
			}
		case !f.Named && errors.Is(f.Err, fs.ErrNotExist): // removed since it was found
		case !f.Named && errors.Is(f.Err, capfile.ErrForeign):
			foreign++
			if verbose {
				ui.say("left out: %v", f.Err)
			}
		default:
			errs = append(errs, f.Err)
		}
	}
	if foreign > 0 && !verbose {
		ui.say("%d left out without tunrec's marks or index (-v says which)", foreign)
	}
	return kept, errs
}

// lsArguments reads flags that stand behind names, too, where the library does
// not look for them.
func lsArguments(c *cli.Context) (names []string, asJSON, verbose bool, err error) {
	asJSON, verbose = c.Bool("json"), c.Bool("v")
	for _, arg := range c.Args().Slice() {
		switch {
		case arg == "--json":
			asJSON = true
		case arg == "-v" || arg == "--verbose":
			verbose = true
		case strings.HasPrefix(arg, "-"):
			err = usageError(fmt.Errorf("unknown flag %s", arg), "a file that is named so is ./"+arg)
		default:
			names = append(names, arg)
		}
	}
	if len(names) == 0 {
		names = []string{"."}
	}
	return names, asJSON, verbose, err
}
