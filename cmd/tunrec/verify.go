package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/catalog"
	"github.com/tunrec/tunrec/replay"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "check every byte of capture files",
		UsageText: "tunrec verify [-q] [DIR | PREFIX | FILE]...",
		Description: "Decompresses the files and compares all that says the same thing twice: the structure\n" +
			"of zstd and pcapng, hashes, index, statistics, checksum. It names the place, the chunk\n" +
			"and the packets of whatever is wrong, and goes on behind it. Time stamps that go back\n" +
			"are told, and are no damage. A file that is being written is verified as far as it goes.\n" +
			"Files without an index (of other programs, of frames, from a stream) have no hashes:\n" +
			"what is checked is that they can be read.\n\n" +
			"Exit code 0: all is well; 1: a file is damaged, cut short, or cannot be read.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "q", Aliases: []string{"quiet"}, Usage: "print nothing about files that are whole", DisableDefaultText: true},
		},
		Action: verify, OnUsageError: onUsageError,
	}
}

func verify(c *cli.Context) error {
	names, err := arguments(c)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return usageError(errors.New("no file to verify"), "tunrec verify FILE")
	}
	debug.SetMemoryLimit(softMemoryLimit)
	ui := newUI(c.Bool("q"), false)
	files, errs := catalog.Files(names)
	out, verified := leftOut{ui: ui}, 0
	for _, f := range files {
		switch err := verifyFile(f.Name, ui); {
		case !f.Named && errors.Is(err, fs.ErrNotExist): // removed since it was found
		case !f.Named && isNoCapture(f.Name, err):
			out.add(err)
		case err != nil:
			errs = append(errs, err)
		default:
			verified++
		}
	}
	out.sum()
	if verified == 0 && len(errs) == 0 {
		return fmt.Errorf("%s: no capture file is there", strings.Join(names, ", "))
	}
	return printAllButLast(errs)
}

// printAllButLast prints errors but for the last one, which run prints.
func printAllButLast(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	last := len(errs) - 1
	for _, err := range errs[:last] {
		printError(err)
	}
	return errs[last]
}

// verifyFile verifies a file and prints what is wrong with it. The error sums
// it up.
func verifyFile(name string, ui *ui) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	open := catalog.Locked(f) // before its size is known, see inspect
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	bar := newProgress(ui, "verify "+name, stat.Size())
	list := problemList{ui: ui, name: name}
	v, err := capfile.Verify(f, stat.Size(), capfile.VerifyOptions{
		Problem:  func(p capfile.Problem) { list.add(p.String()) },
		Progress: bar.set,
	})
	bar.done()
	switch {
	case errors.Is(err, capfile.ErrForeign):
		return verifyForeign(name, ui, bar)
	case err != nil:
		return err
	}
	sayBackward(ui, name, v.Backward, v.FirstBackward)
	switch sum := packets(v.Packets) + " in " + plural(v.Chunks, "chunk"); {
	case v.Problems == 0:
		printWhole(ui, "%s: whole, %s, %s of content in %s", printable(name), sum,
			humanize.IBytes(v.ContentBytes), humanize.IBytes(uint64(stat.Size())))
		return nil
	case v.CutShort && open:
		printWhole(ui, "%s: is being written, whole so far, %s", printable(name), sum)
		return nil
	case v.CutShort:
		list.show()
		return hinted(fmt.Errorf("%s is cut short: %s are whole", printable(name), sum), "tunrec repair gives it an end")
	case v.NoneLost:
		list.show()
		return hinted(fmt.Errorf("%s is damaged, %s, but none of its packets: all %s can be read", printable(name), plural(v.Problems, "problem"), sum),
			"tunrec repair makes a file with a new index and statistics of it")
	default:
		list.show()
		return hinted(fmt.Errorf("%s is damaged, %s: %s are whole", printable(name), plural(v.Problems, "problem"), sum),
			"tunrec repair makes a whole file of what can be had")
	}
}

// verifyForeign reads a file that has no index.
func verifyForeign(name string, ui *ui, bar *progress) error {
	r, err := replay.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	read, err := readFrames(r, bar.set)
	bar.done()
	if _, damaged := errors.AsType[*replay.DamageError](err); err != nil {
		err = fmt.Errorf("%w; %s before it can be read", err, packets(read.frames))
		if damaged {
			err = hinted(err, "tunrec repair makes a whole file of what can be had")
		}
		return err
	}
	sayBackward(ui, name, read.backward, read.firstBackward)
	printWhole(ui, "%s: can be read, %s; no index, so there are no hashes to compare", printable(name), packets(read.frames))
	return nil
}

// framesRead is what was seen of a file without index.
type framesRead struct {
	frames, backward, firstBackward uint64
}

// readFrames reads a file to its end, and tells progress how many of its bytes,
// compressed as they are, have been read.
func readFrames(r *replay.Reader, progress func(done int64)) (read framesRead, err error) {
	const between = 512 // frames: to ask for the place is a system call
	last := int64(0)
	for f, err := range r.Frames() {
		if err != nil {
			return read, err
		}
		if read.frames++; read.frames%between == 0 {
			progress(r.Offset())
		}
		if f.UnixNano != 0 && f.UnixNano < last {
			if read.backward++; read.backward == 1 {
				read.firstBackward = read.frames
			}
		}
		last = f.UnixNano
	}
	return read, nil
}

func sayBackward(ui *ui, name string, n, first uint64) {
	if n > 0 {
		ui.say("%s: %s stamped earlier than the one before, the first is packet %s", printable(name), packets(n), count(first))
	}
}

// printWhole prints a line about a file that is well to standard output.
func printWhole(ui *ui, format string, args ...any) {
	if !ui.quiet {
		fmt.Printf(format+"\n", args...)
	}
}

// plural writes a number of things.
func plural(n uint64, thing string) string { return numbered(n, thing, thing+"s") }

// problemList prints the first problems of a file as they are found. A file can
// have any number of them.
type problemList struct {
	ui   *ui
	name string
	n    uint64
}

const shownProblems = 20

func (l *problemList) add(text string) {
	if l.n++; l.n <= shownProblems {
		l.ui.print("%s: %s", printable(l.name), text)
	}
}

// show says how many were not printed.
func (l *problemList) show() {
	if l.n > shownProblems {
		l.ui.print("%s: and %s more", printable(l.name), count(l.n-shownProblems))
	}
}
