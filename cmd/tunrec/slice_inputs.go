package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/catalog"
	"github.com/tunrec/tunrec/extract"
	"github.com/tunrec/tunrec/replay"
	"github.com/tunrec/tunrec/rotate"
)

// What slice, cat and convert have in common: arguments, the files that they
// read, and the file that they write.

// arguments returns the words that are no flags, and sets the flags that stand
// behind or between them, where the library does not look for them.
func arguments(c *cli.Context) (words []string, err error) {
	rest := c.Args().Slice()
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			words = append(words, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		_, isBool := lookupFlag(c, name).(*cli.BoolFlag)
		switch {
		case lookupFlag(c, name) == nil:
			return nil, usageError(fmt.Errorf("unknown flag %s", arg), "a file that is named so is ./"+arg)
		case hasValue:
		case isBool:
			value = "true"
		case len(rest) == 0:
			return nil, usageError(fmt.Errorf("%s needs a value", arg), "tunrec --help lists the flags")
		default:
			value, rest = rest[0], rest[1:]
		}
		if err := c.Set(name, value); err != nil {
			return nil, usageError(fmt.Errorf("%s %q: %w", dashed(name), value, err), "tunrec --help lists the flags")
		}
	}
	return words, nil
}

func lookupFlag(c *cli.Context, name string) cli.Flag {
	for _, f := range c.Command.Flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

// inputs are the captures that a command reads.
type inputs struct {
	files []*extract.File
	found map[string]bool // names of those of others, in a directory
	bad   int             // files that could not be read, or only up to a damage
}

// openInputs looks at the captures that the words name. One that is named and
// cannot be read is an error; of those found in a directory the others are
// taken.
func openInputs(words []string, ui *ui) (*inputs, error) {
	found, errs := catalog.Files(slices.DeleteFunc(slices.Clone(words), isStdin))
	if len(errs) > 0 {
		return nil, errs[0]
	}
	if slices.ContainsFunc(words, isStdin) {
		found = append(found, catalog.File{Name: "-", Named: true})
	}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.Name
	}
	in, out := &inputs{found: map[string]bool{}}, leftOut{ui: ui}
	files, errs := extract.InspectAll(names)
	for i, f := range files {
		switch err := errs[i]; {
		case err != nil && found[i].Named:
			return nil, err
		case errors.Is(err, fs.ErrNotExist): // removed since it was found
		case errors.Is(err, io.ErrUnexpectedEOF) && isOpen(names[i]): // its header is on the way
		case hasNoPacket(names[i], err):
			out.add(err)
		case err != nil:
			printError(err)
			in.bad++
		default:
			if name := &f.Info.Section.InterfaceName; f.Foreign != nil && *name == "" {
				*name = fileStem(f.Name)
			}
			in.files = append(in.files, f)
			if damage := f.Info.Damage; damage != nil && !errors.Is(damage, io.ErrUnexpectedEOF) {
				printError(fmt.Errorf("%w: it is read as far as it goes", damage))
				in.bad++
			} else if f.Foreign != nil && !found[i].Named {
				in.found[f.Name] = true
			} else {
				sayHowRead(f, ui)
			}
		}
	}
	out.sum()
	if n := len(in.found); n > 0 {
		ui.say("read from the begin, without an index: %s", plural(uint64(n), "file"))
	}
	if len(in.files) == 0 {
		return nil, fmt.Errorf("%s: no capture file is there that can be read", strings.Join(words, ", "))
	}
	return in, nil
}

// isNoCapture tells whether an error says of a file that was found in a directory
// that it is no capture.
func isNoCapture(name string, err error) bool {
	_, cut := errors.AsType[*capfile.CorruptError](err) // as short files may seem to be
	_, named := catalog.Stem(filepath.Base(name))
	return errors.Is(err, replay.ErrNoCapture) || cut && !named
}

// hasNoPacket is isNoCapture, or tells of damage before the first packet.
func hasNoPacket(name string, err error) bool {
	_, damaged := errors.AsType[*replay.DamageError](err)
	return damaged || isNoCapture(name, err)
}

// leftOut are files of a directory that are not read. The first ones are printed,
// or all.
type leftOut struct {
	ui  *ui
	all bool
	n   int
}

const shownLeftOut = 10

func (l *leftOut) add(err error) {
	if l.n++; l.n <= shownLeftOut || l.all {
		l.ui.say("left out: %v", err)
	}
}

// sum says how many were not printed.
func (l *leftOut) sum() {
	if l.n > shownLeftOut && !l.all {
		l.ui.say("%s more left out", count(uint64(l.n-shownLeftOut)))
	}
}

func isStdin(word string) bool { return word == "-" }

// sayHowRead says where an undamaged file cannot be read by its index.
func sayHowRead(f *extract.File, ui *ui) {
	switch damage := f.Info.Damage; {
	case f.Foreign != nil && f.Name == "-":
	case f.Foreign != nil:
		ui.say("%s: it has no index: it is read from its begin", f.Name)
	case damage != nil && !isOpen(f.Name):
		ui.say("%v: it is read as far as it goes", damage)
	}
}

// isOpen tells whether a recorder is writing the file.
func isOpen(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return catalog.Locked(f)
}

// extractTo runs an extraction into the file that -o names, or to standard
// output, and says what was written.
func extractTo(in *inputs, out output, format extract.Format, o extract.Options, ui *ui, sync bool) error {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(softMemoryLimit)
	bad := damages{n: in.bad, ui: ui, found: in.found}
	o.Damaged = bad.add
	ctx, release := untilSignal()
	defer release()
	format.Section.Application = "tunrec " + version
	result, err := extractInto(ctx, in, out, format, o, sync)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted: the output is not complete, no file of it was kept")
	}
	if err != nil {
		return err
	}
	if skipped := result.Skipped.String(); skipped != "" {
		ui.say("%s", skipped)
	}
	for _, name := range result.Mixed {
		ui.say("%s: it has several sections or interfaces: comment, interface and filter of the first stand for all", name)
	}
	if out.form != capfile.Stream {
		ui.say("%s: %s", out.name, summary(result))
	}
	return bad.err()
}

// damages are the parts of the input that could not be read. The first ones are
// printed.
type damages struct {
	n     int
	ui    *ui
	found map[string]bool // files of others, in a directory
}

// add notes one. A file of others in a directory that is cut off at its end, as one
// is that is being written, is told as one of tunrec's is.
func (d *damages) add(err error) {
	damage, ok := errors.AsType[*replay.DamageError](err)
	if ok && d.found[damage.File] && errors.Is(damage, io.ErrUnexpectedEOF) {
		d.ui.say("%v: it is read as far as it goes", err)
		return
	}
	const shown = 10
	d.ui.clearLine()
	if d.n++; d.n <= shown {
		printError(err)
	} else if d.n == shown+1 {
		printError(errors.New("further damage is only counted"))
	}
}

// err sums them up, where there are any.
func (d *damages) err() error {
	if d.n == 0 {
		return nil
	}
	return fmt.Errorf("parts of the input could not be read (%d); the rest is written", d.n)
}

// A slice is short, and little of its memory is in use at a time: the collector
// may be lazy. It works harder before a hostile file, or one of the largest
// chunks, takes 256 MB.
const (
	gcPercent       = 1000
	softMemoryLimit = 160 << 20
)

// extractInto makes the output and fills it. An output that could not be
// completed is removed.
func extractInto(ctx context.Context, in *inputs, out output, format extract.Format, o extract.Options, sync bool) (extract.Result, error) {
	if out.form == capfile.Stream && !format.Frames {
		return extract.Run(ctx, in.files, streamFile{os.Stdout}, format, o)
	}
	f, err := createNew(out.name)
	if err != nil {
		return extract.Result{}, err
	}
	result, err := extract.Run(ctx, in.files, f, format, o)
	if err == nil && sync {
		err = f.Sync()
	}
	if err != nil {
		return result, errors.Join(err, f.Discard())
	}
	return result, f.Close()
}

// createNew makes an output file; none is overwritten.
func createNew(name string) (*rotate.File, error) {
	f, err := rotate.Create(name, rotate.CreateOptions{Owner: callersOwn()})
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, hinted(fmt.Errorf("%s exists already", name), "choose another -o")
	case err != nil:
		return nil, createError(err, name)
	}
	f.Ahead = true
	return f, nil
}

// streamFile is standard output as a capfile.File, which never cuts it back.
type streamFile struct{ *os.File }

func (streamFile) Truncate(int64) error { return errors.ErrUnsupported }

// summary says what an extraction has written.
func summary(r extract.Result) string {
	text := packets(r.Packets)
	if r.Packets > 0 {
		text += fmt.Sprintf(", %s to %s", stamp(r.First), stamp(r.Last))
	}
	if r.Copied > 0 {
		text += fmt.Sprintf("; %s of %s chunks copied as they were", count(r.Copied), count(r.Chunks))
	}
	return text
}
