package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/rotate"
)

func repairCommand() *cli.Command {
	return &cli.Command{
		Name: "repair", Usage: "make a whole file of one that is cut short or damaged",
		UsageText: "tunrec repair FILE -o OUT\n   tunrec repair --in-place FILE",
		Description: "Takes over all that can be had: of a file that was cut short every packet up to the cut,\n" +
			"of one that is damaged inside every chunk but those that are hit. Index and statistics\n" +
			"are made anew; what is lost is told, and counted as dropped. OUT is compressed if FILE is.\n\n" +
			"With --in-place the file gets its end: what stands behind the last whole chunk is\n" +
			"replaced, nothing before it is touched. Whenever that is interrupted, the file can be\n" +
			"repaired again. It is refused for files that are damaged elsewhere than at their end.\n\n" +
			"Of a pcapng or pcap file that another program has made, compressed or not, the whole\n" +
			"blocks or packets are copied to OUT.pcapng or, compressed, OUT.pcapng.zst. Nothing in\n" +
			"pcap marks where a packet begins: behind damage that is a good guess.\n\n" +
			"Exit code 0: the file is whole now, even if packets were lost; 1: it is not.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "o", Usage: "write to `OUT`, which must not exist"},
			&cli.BoolFlag{Name: "in-place", Usage: "give FILE itself an end", DisableDefaultText: true},
			&cli.BoolFlag{Name: "q", Aliases: []string{"quiet"}, Usage: "print errors and losses only", DisableDefaultText: true},
		},
		Action: repair, OnUsageError: onUsageError,
	}
}

func repair(c *cli.Context) error {
	names, err := arguments(c)
	if err != nil {
		return err
	}
	inPlace, out := c.Bool("in-place"), c.String("o")
	switch {
	case len(names) != 1:
		return usageError(fmt.Errorf("repair takes one file, %d are given", len(names)), "tunrec repair FILE -o OUT")
	case inPlace == c.IsSet("o"):
		return usageError(errors.New("one of -o and --in-place has to be given"), "tunrec repair FILE -o OUT")
	case !inPlace && (out == "" || out == "-" || strings.HasSuffix(out, "/")):
		return usageError(fmt.Errorf("-o %q: has to be the name of a file", out), "")
	}
	debug.SetMemoryLimit(softMemoryLimit)
	r := repairing{name: names[0], ui: newUI(c.Bool("q"), false)}
	if inPlace {
		return r.inPlace()
	}
	return r.to(out)
}

// repairing is the repair of one file.
type repairing struct {
	name string
	ui   *ui
	list problemList
	of   string // what offsets count the bytes of, where that is not the file
}

// open opens the file and tells how to report on it.
func (r *repairing) open(flags int) (*os.File, int64, capfile.RepairOptions, error) {
	info, err := os.Stat(r.name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", printable(r.name))
	}
	if err != nil {
		return nil, 0, capfile.RepairOptions{}, err
	}
	f, err := os.OpenFile(r.name, flags, 0)
	if err != nil {
		return nil, 0, capfile.RepairOptions{}, err
	}
	r.list = problemList{ui: r.ui, name: r.name}
	bar := newProgress(r.ui, "repair "+r.name, info.Size())
	return f, info.Size(), capfile.RepairOptions{
		Loss:     func(l capfile.Loss) { r.list.add(r.lossText(l)) },
		Progress: bar.set,
	}, nil
}

func (r *repairing) inPlace() error {
	f, size, o, err := r.open(os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK {
		return hinted(fmt.Errorf("%s is being written", printable(r.name)), "stop its recorder first")
	}
	o.Changing = func() { signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) }
	done, err := capfile.RepairInPlace(f, size, o)
	if errors.Is(err, capfile.ErrDamagedInside) || errors.Is(err, capfile.ErrForeign) {
		return hinted(fmt.Errorf("%s is not repaired in place: %w", printable(r.name), err), "tunrec repair FILE -o OUT")
	}
	if err != nil {
		return err
	}
	r.finished(r.name, done)
	return nil
}

// to repairs into a new file, which is removed where that fails.
func (r *repairing) to(name string) error {
	f, size, o, err := r.open(os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, release := untilSignal()
	defer release()
	out := &newFile{}
	report := o.Loss
	o.Loss = func(l capfile.Loss) {
		if ctx.Err() == nil {
			report(l)
		}
	}
	done, err := capfile.Repair(interruptible{f, ctx}, size, func(form capfile.Form) (capfile.File, error) {
		if form == capfile.Plain && strings.HasSuffix(name, ".zst") {
			return nil, usageError(fmt.Errorf("-o %s: %s is not compressed, and stays so", name, r.name), "name it "+strings.TrimSuffix(name, ".zst"))
		}
		o, err := resolveOutput(name, compression{none: form == capfile.Plain}, true)
		if err != nil {
			return nil, usageError(err, "")
		}
		return out, out.create(o.name)
	}, o)
	if errors.Is(err, capfile.ErrForeign) && ctx.Err() == nil {
		done, err = r.foreign(interruptible{f, ctx}, size, name, out, o)
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted, nothing was written")
	}
	if err := out.finish(err); err != nil {
		return err
	}
	r.finished(out.Name(), done)
	return nil
}

// finished says what was had.
func (r *repairing) finished(name string, done capfile.Repaired) {
	r.list.show()
	lost := ""
	switch {
	case done.Unknown && done.Lost > 0:
		lost = fmt.Sprintf("; %s lost, and more, nobody knows how many", packets(done.Lost))
	case done.Unknown:
		lost = "; packets are lost, nobody knows how many"
	case done.Lost > 0:
		lost = fmt.Sprintf("; %s lost", packets(done.Lost))
	case done.Whole:
		lost = "; nothing was wrong"
	}
	r.ui.say("%s: whole, %s%s", printable(name), packets(done.Packets), lost)
}

// lossText says what was lost, when, and where it stood.
func (r *repairing) lossText(l capfile.Loss) string {
	what := "packets lost, nobody knows how many"
	if l.Known {
		what = packets(l.Packets) + " lost"
	}
	if l.From != 0 || l.To != 0 {
		at := func(unixNano int64) string {
			if unixNano == 0 {
				return "?"
			}
			return time.Unix(0, unixNano).Format(time.RFC3339Nano)
		}
		what += fmt.Sprintf(" between %s and %s", at(l.From), at(l.To))
	}
	return fmt.Sprintf("%s: bytes %d to %d%s: %s", what, l.Offset, l.End, r.of, l.Reason)
}

// newFile is a file that is made when there is something to write. The zero
// value is none.
type newFile struct{ *rotate.File }

func (n *newFile) create(name string) (err error) {
	n.File, err = createNew(name)
	return err
}

// finish closes the file, or removes it where err says that it did not become
// whole.
func (n *newFile) finish(err error) error {
	if n.File == nil {
		return err
	}
	if err == nil {
		err = n.Sync()
	}
	if err != nil {
		return errors.Join(err, n.Discard())
	}
	return n.Close()
}

// interruptible is a file that cannot be read any more when its context ends.
type interruptible struct {
	*os.File
	ctx context.Context
}

func (i interruptible) ReadAt(b []byte, at int64) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.File.ReadAt(b, at)
}
