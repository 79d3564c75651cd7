package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/capfile"
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

// States of a file.
const (
	lsComplete = "complete"
	lsOpen     = "open"
	lsCut      = "cut short"
	lsDamaged  = "damaged"
)

// listed is a line of the list.
type listed struct {
	name  string
	named bool // by the user, not found in a directory
	state string
	info  capfile.Info
	found *capfile.Reader // closed; knows where the chunks are; nil: the header is on the way
	begin int64           // what the list is sorted by, ns since 1970
	err   error
}

func ls(c *cli.Context) error {
	names, asJSON, verbose, err := lsArguments(c)
	if err != nil {
		return err
	}
	files, errs := findCaptures(names)
	inspectAll(files)
	files, unreadable := sift(files, verbose)
	errs = append(errs, unreadable...)
	slices.SortStableFunc(files, func(a, b listed) int { return cmp.Compare(a.begin, b.begin) })

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

// sift takes out of the list what cannot be listed, and says what is to be said
// of files. Errors are about those that should have been readable.
func sift(files []listed, verbose bool) (kept []listed, errs []error) {
	ui, foreign := &ui{}, 0
	for _, f := range files {
		switch {
		case f.err == nil:
			kept = append(kept, f)
			if f.info.Damage != nil && verbose {
				ui.say("%v", f.info.Damage)
			}
		case !f.named && errors.Is(f.err, fs.ErrNotExist): // removed since it was found
		case !f.named && errors.Is(f.err, capfile.ErrForeign):
			foreign++
			if verbose {
				ui.say("left out: %v", f.err)
			}
		default:
			errs = append(errs, f.err)
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

// findCaptures finds the files that the arguments name, each once.
func findCaptures(args []string) (files []listed, errs []error) {
	return find(args, expandCaptures)
}

// pinSuffix is that of the files that make rotate.Series keep others.
const pinSuffix = ".keep"

// findFiles is findCaptures for those who read files of others: in a directory
// it finds files of any name.
func findFiles(args []string) (files []listed, errs []error) {
	return find(args, func(arg string) (names []string, named bool, err error) {
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			names, err := filesIn(arg, func(name string) bool {
				return !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, pinSuffix)
			})
			return names, false, err
		}
		return expandCaptures(arg)
	})
}

func find(args []string, expand func(arg string) (names []string, named bool, err error)) (files []listed, errs []error) {
	seen := map[string]bool{}
	for _, arg := range args {
		names, named, err := expand(arg)
		if err != nil {
			errs = append(errs, err)
		}
		for _, name := range names {
			if !seen[filepath.Clean(name)] {
				seen[filepath.Clean(name)] = true
				files = append(files, listed{name: name, named: named})
			}
		}
	}
	return files, errs
}

// seriesPart is what stands between the prefix and the suffix in the names of
// a series.
var seriesPart = regexp.MustCompile(`^(\d{5,}_\d{14}|\d{14}_\d{5,})$`)

// expandCaptures finds the files that one argument names, and tells whether it
// names a single one.
func expandCaptures(arg string) (names []string, named bool, err error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		names, err = capturesIn(arg, func(string) bool { return true })
		return names, false, err
	case err == nil && !info.Mode().IsRegular():
		return nil, true, fmt.Errorf("%s is not a regular file", arg)
	case err == nil:
		return []string{arg}, true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, true, err
	}
	dir, prefix := filepath.Split(arg)
	if s, ok := captureStem(prefix); ok {
		prefix = s
	}
	names, err = capturesIn(filepath.Clean(dir), func(stem string) bool {
		rest, ok := strings.CutPrefix(stem, prefix)
		return ok && (rest == "" || rest[0] == '_' && seriesPart.MatchString(rest[1:]))
	})
	if len(names) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		err = fmt.Errorf("%s is neither a file nor a directory nor the prefix of a series", arg)
	}
	return names, false, err
}

// capturesIn returns the regular files of a directory that are named as
// captures and whose stem is wanted.
func capturesIn(dir string, want func(stem string) bool) (names []string, err error) {
	return filesIn(dir, func(name string) bool {
		stem, ok := captureStem(name)
		return ok && want(stem)
	})
}

// filesIn returns the regular files of a directory whose names are wanted.
func filesIn(dir string, want func(name string) bool) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !want(e.Name()) {
			continue
		}
		name, regular := filepath.Join(dir, e.Name()), e.Type().IsRegular()
		if !regular { // a link may lead to one
			info, err := os.Stat(name)
			regular = err == nil && info.Mode().IsRegular()
		}
		if regular {
			names = append(names, name)
		}
	}
	return names, err
}

// captureStem takes .pcapng or .pcapng.zst off a name.
func captureStem(name string) (stem string, ok bool) {
	return strings.CutSuffix(strings.TrimSuffix(name, ".zst"), ".pcapng")
}

// inspectAll fills in what the files say of themselves. Several are read at a
// time: most of it is waiting for the disk.
func inspectAll(files []listed) {
	const readers = 8
	next := make(chan *listed)
	var running sync.WaitGroup
	for range readers {
		running.Go(func() {
			for f := range next {
				f.inspect()
			}
		})
	}
	for i := range files {
		next <- &files[i]
	}
	close(next)
	running.Wait()
}

func (l *listed) inspect() {
	f, err := os.Open(l.name)
	if err != nil {
		l.err = err
		return
	}
	defer f.Close()
	// In this order: a recorder that ends in between leaves a file that is
	// taken for open or complete, never for cut short.
	open := isLocked(f)
	stat, err := f.Stat()
	if err != nil {
		l.err = err
		return
	}
	l.begin = stat.ModTime().UnixNano()
	r, err := capfile.NewReader(f, stat.Size())
	if open && errors.Is(err, io.ErrUnexpectedEOF) { // its header is on the way
		l.state, l.info.Size = lsOpen, stat.Size()
		return
	}
	if err != nil {
		l.err = err
		return
	}
	l.info, l.found = r.Info(), r
	switch i := &l.info; {
	case i.Packets > 0:
		l.begin = i.First
	case i.Statistics.Start != 0:
		l.begin = i.Statistics.Start
	}
	switch damage := l.info.Damage; {
	case damage == nil:
		l.state = lsComplete
	case open:
		l.state, l.info.Damage = lsOpen, nil // it is not at its end yet
	case errors.Is(damage, io.ErrUnexpectedEOF):
		l.state = lsCut
	default:
		l.state = lsDamaged
	}
}

// isLocked tells whether another process has the lock that a recorder holds
// on the file it writes.
func isLocked(f *os.File) bool {
	err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		unix.Flock(int(f.Fd()), unix.LOCK_UN)
	}
	return err == unix.EWOULDBLOCK
}
