package main

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/extract"
)

func sliceCommand() *cli.Command {
	return &cli.Command{
		Name: "slice", Usage: "take the packets of a time range out of captures",
		UsageText: "tunrec slice [--from T] [--to T] [--count N] [FILTER] FILE|DIR|PREFIX... -o OUT",
		Description: "Writes the packets of a time range, and that FILTER accepts, into one capture file, in\n" +
			"time order. It reads what it needs by the index: chunks inside the range are copied\n" +
			"without being compressed again. Files without an index (pcap, pcapng, gzip, zstd) are\n" +
			"read from their begin, and cut down to IP; in a directory, whatever their names.\n\n" +
			"Times: 2026-11-22T16:00:00Z (RFC 3339), '2026-11-22 16:00' (local), @1795363200.25\n" +
			"(seconds since 1970), +10s (after the first packet), -15m (before the last one).\n\n" +
			"FILTER is in the language of pcap-filter(7), in one word or several. The last words, as\n" +
			"far as there are files, directories or series of these names, are what is read; all\n" +
			"words before them are the filter. In quotes it is taken for no file's name.\n\n" +
			"   tunrec slice --from -15m series -o last.pcapng\n" +
			"   tunrec slice --from '2026-11-22 16:00' --to '2026-11-22 16:05' tcp port 443 dir -o five.pcapng",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "the first packet is of this `TIME` or later"},
			&cli.StringFlag{Name: "to", Usage: "all packets are before this `TIME`"},
			&cli.Uint64Flag{Name: "count", Usage: "stop after `N` packets", DefaultText: "no limit"},
			&cli.StringFlag{Name: "o", Usage: "write to `OUT`, NAME.pcapng[.zst], or - for plain pcapng to standard output"},
			&cli.StringFlag{Name: "compress", Value: "zstd", Usage: "`METHOD`: zstd, zstd:LEVEL or none, as in tunrec record"},
			filterDialectFlag, resolveFlag,
			&cli.BoolFlag{Name: "q", Usage: "print errors only", DisableDefaultText: true},
		},
		Action: slice, OnUsageError: onUsageError,
	}
}

func slice(c *cli.Context) error {
	words, err := arguments(c)
	if err != nil {
		return err
	}
	out, format, err := extractOutput(c)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return usageError(errors.New("no capture file given"), "tunrec slice --from -15m FILE -o OUT")
	}
	match, names, err := splitFilter(c, words)
	if err != nil {
		return err
	}
	o := extract.Everything
	o.Count = c.Uint64("count")
	if c.IsSet("count") && o.Count == 0 {
		return usageError(errors.New("--count 0: has to be at least 1 packet"), "")
	}
	from, to, err := parseRange(c)
	if err != nil {
		return err
	}
	ui := newUI(c.Bool("q"), false)
	in, err := openInputs(names, ui)
	if err != nil {
		return err
	}
	if err := setRange(&o, from, to, in.files); err != nil {
		return err
	}
	format.Section = extract.Section(in.files)
	applyFilter(match, &o, &format.Section)
	return extractTo(in, out, format, o, ui, false)
}

// extractOutput reads -o and --compress.
func extractOutput(c *cli.Context) (output, extract.Format, error) {
	fail := func(err error) (output, extract.Format, error) {
		return output{}, extract.Format{}, usageError(err, "tunrec "+c.Command.Name+" --help lists the flags")
	}
	if c.String("o") == "" {
		return fail(errors.New("-o is missing: the file to write"))
	}
	compress, err := parseCompress(c.String("compress"))
	if err != nil {
		return fail(err)
	}
	out, err := resolveOutput(c.String("o"), compress, c.IsSet("compress"))
	if err != nil {
		return fail(err)
	}
	_, level, _ := strings.Cut(c.String("compress"), ":")
	return out, extract.Format{Form: out.form, Method: compress.method, Recompress: level != ""}, nil
}

// parseRange reads --from and --to.
func parseRange(c *cli.Context) (from, to *extract.Time, err error) {
	for _, flag := range []struct {
		name string
		time **extract.Time
	}{{"from", &from}, {"to", &to}} {
		if !c.IsSet(flag.name) {
			continue
		}
		t, err := extract.ParseTime(c.String(flag.name))
		if err != nil {
			return nil, nil, usageError(fmt.Errorf("--%s: %w", flag.name, err), "")
		}
		*flag.time = &t
	}
	return from, to, nil
}

// setRange sets the range as the files have it, and refuses one that holds none
// of their packets.
func setRange(o *extract.Options, from, to *extract.Time, files []*extract.File) error {
	needs := func(what func(extract.Time) bool) bool { return from != nil && what(*from) || to != nil && what(*to) }
	first, last, err := int64(0), int64(0), error(nil)
	switch {
	case needs(extract.Time.NeedsEnd):
		if first, last, err = extract.Span(files); err != nil {
			return usageError(errors.New("the end of standard input is not known: times cannot count back from it"), "")
		}
	case needs(extract.Time.NeedsBegin):
		if first, err = extract.First(files); err != nil {
			return usageError(errors.New("the begin of standard input is not known: times cannot count from it"), "")
		}
	}
	if first == math.MaxInt64 {
		return errors.New("the capture has no packets")
	}
	if from != nil {
		o.From = from.At(first, last)
	}
	if to != nil {
		o.To = to.At(first, last)
	}
	if o.From >= o.To {
		return usageError(fmt.Errorf("--from %s is not before --to %s", stamp(o.From), stamp(o.To)), "")
	}
	if from == nil && to == nil {
		return nil
	}
	return refuseEmpty(o, files)
}

// refuseEmpty fails where the files say that they have no packet in the range.
func refuseEmpty(o *extract.Options, files []*extract.File) error {
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, f := range files {
		if f.Foreign != nil {
			return nil // its end is not known
		}
		if f.Info.Packets > 0 {
			first, last = min(first, f.Info.First), max(last, f.Info.Last)
		}
	}
	if last >= o.From && first < o.To {
		return nil
	}
	if first > last {
		return errors.New("the capture has no packets")
	}
	return fmt.Errorf("no packets in that range: the capture has those from %s to %s", stamp(first), stamp(last))
}
