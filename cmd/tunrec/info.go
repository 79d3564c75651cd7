package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/catalog"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/replay"
	"github.com/tunrec/tunrec/timeline"
)

func infoCommand() *cli.Command {
	return &cli.Command{
		Name: "info", Usage: "tell what is in capture files: counts, times, rates, drops",
		UsageText: "tunrec info [--json] [--svg OUT] [DIR | PREFIX | FILE]...",
		Description: "Of one file it prints all that is known, of several a table and their sum, with a small\n" +
			"picture of the packets over time. Nothing is decompressed: it comes from the header and\n" +
			"the index, or the marks of a file that has none. A file without either, made by\n" +
			"another program, in frames or from a stream, is read as a whole.\n\n" +
			"Exit code 0: all files could be read, whatever their state; 1: one could not.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object a line for each file", DisableDefaultText: true},
			&cli.StringFlag{Name: "svg", Usage: "draw packets/s, bytes/s and drops over time to `OUT`"},
			&cli.BoolFlag{Name: "v", Aliases: []string{"verbose"}, Usage: "say of all files that are left out why, and what is wrong with others", DisableDefaultText: true},
		},
		Action: info, OnUsageError: onUsageError,
	}
}

// described is a file, with what ls does not need of it.
type described struct {
	catalog.File
	format    string
	linkTypes map[uint16]uint64 // frames of each; nil: all are raw IP
}

// filtered is how many packets the capture filter has rejected, where the file
// tells.
func (d *described) filtered() uint64 {
	if d.Info.Statistics.Delivered != d.Info.Packets {
		return 0
	}
	return d.Info.Statistics.Filtered()
}

func info(c *cli.Context) error {
	names, err := arguments(c)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = []string{"."}
	}
	debug.SetMemoryLimit(softMemoryLimit)
	found, errs := catalog.Files(names)
	catalog.InspectAll(found)
	var over timeline.Timeline
	var files []described
	out := leftOut{ui: &ui{}, all: c.Bool("v")}
	for _, f := range found {
		d := described{File: f}
		switch {
		case f.Err == nil:
			d.addChunks(&over)
		case errors.Is(f.Err, capfile.ErrForeign):
			d.scan(&over)
		}
		switch {
		case d.Err == nil:
			files = append(files, d)
			if damage := d.Info.Damage; damage != nil && out.all {
				out.ui.say("%v", damage)
			}
		case !d.Named && errors.Is(d.Err, fs.ErrNotExist): // removed since it was found
		case !d.Named && hasNoPacket(d.Name, d.Err):
			out.add(d.Err)
		default:
			errs = append(errs, d.Err)
		}
	}
	out.sum()
	if err := printInfo(c, files, &over); err != nil {
		errs = append(errs, err)
	}
	return printAllButLast(errs)
}

func printInfo(c *cli.Context, files []described, over *timeline.Timeline) error {
	out := bufio.NewWriter(os.Stdout)
	switch {
	case c.Bool("json"):
		printInfoJSON(out, files)
	case len(files) == 1:
		printInfoOne(out, &files[0], over)
	case len(files) > 1:
		printInfoTable(out, files, over)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	if !c.IsSet("svg") || len(files) == 0 {
		return nil
	}
	title := printable(files[0].Name)
	if len(files) > 1 {
		title = plural(uint64(len(files)), "file")
	}
	var f newFile
	if err := f.create(c.String("svg")); err != nil {
		return err
	}
	return f.finish(timeline.WriteSVG(&f, title, over))
}

// addChunks adds what the chunks of a file say.
func (d *described) addChunks(over *timeline.Timeline) {
	d.format = map[capfile.Form]string{capfile.Zstd: "pcapng in one zstd frame", capfile.Plain: "pcapng"}[d.Info.Form]
	if d.Reader == nil {
		return
	}
	r, err := d.Reader.Reopen()
	if err != nil {
		d.Err = err
		return
	}
	defer r.Close()
	latest := d.Begin
	for e, err := range r.Chunks() {
		if err != nil {
			d.Err = err
			return
		}
		if e.Packets == 0 { // it has counts, but no time
			e.Earliest, e.Latest = latest, latest
		}
		latest = e.Latest
		over.Add(timeline.Span{From: e.Earliest, To: e.Latest, Packets: uint64(e.Packets), Bytes: e.OriginalBytes, Drops: e.DroppedByQueue + e.Dropped})
	}
}

// scan reads a file that has no index.
func (d *described) scan(over *timeline.Timeline) {
	d.Err = nil
	stat, err := os.Stat(d.Name)
	if err != nil {
		d.Err = err
		return
	}
	r, err := replay.Open(d.Name)
	if err != nil {
		d.Err = err
		return
	}
	defer r.Close()
	(&ui{}).say("%s: it has no index: it is read as a whole", printable(d.Name))
	format, compression := r.Format()
	if d.format = format; compression != "" {
		d.format += " in " + compression
	}
	d.State, d.linkTypes = "readable", map[uint16]uint64{}
	i := &d.Info
	i.Size = stat.Size()
	for f, err := range r.Frames() {
		if damage, ok := errors.AsType[*replay.DamageError](err); ok {
			if d.State = catalog.Damaged; errors.Is(damage, io.ErrUnexpectedEOF) {
				d.State = catalog.CutShort
			}
			i.Damage = &capfile.CorruptError{File: damage.File, Offset: damage.Offset, Reason: damage.Reason, Err: damage.Err}
			break
		} else if err != nil {
			d.Err = err
			return
		}
		if i.Packets == 0 {
			i.First, i.Last, d.Begin = f.UnixNano, f.UnixNano, f.UnixNano
		}
		i.First, i.Last = min(i.First, f.UnixNano), max(i.Last, f.UnixNano)
		i.Packets++
		i.OriginalBytes += uint64(f.OrigLen)
		i.ContentBytes += uint64(len(f.Data))
		d.linkTypes[f.LinkType]++
		over.Add(timeline.Span{From: f.UnixNano, To: f.UnixNano, Packets: 1, Bytes: uint64(f.OrigLen)})
	}
	var whole bool
	if i.Section, i.Statistics, whole = r.Described(); !whole {
		i.Section, i.Statistics = pcapng.Section{}, pcapng.Statistics{}
	}
}
