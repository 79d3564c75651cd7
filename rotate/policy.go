package rotate

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Policy tells when a file ends and the next one begins, and which files are
// kept. A zero field sets no such limit; all that are set hold together.
type Policy struct {
	// A file ends
	Duration  time.Duration // this long after it began,
	Interval  time.Duration // at the wall clock's multiples of this (see IntervalBounds),
	FileBytes uint64        // before it would grow above this on disk,
	Packets   uint64        // and after this many packets.

	// Of the series are kept
	Files      int           // so many files, the open ones counted,
	TotalBytes uint64        // so many bytes on disk in all,
	Age        time.Duration // what has packets younger than this,
	MinFree    uint64        // and so little that this many bytes of the file system are free.

	NameTimeNum int    // numbered names: 1 (and 0) number before time, 2 time before number
	PrintName   string // where the name of each complete file is printed: stdout, stderr or a file; "": nowhere
}

// Stop tells when a recording ends. A zero field sets no such limit.
type Stop struct {
	Duration  time.Duration // from its begin
	FileBytes uint64        // on disk, of one file
	Packets   uint64
	Files     int
}

// maxInterval keeps wall-clock arithmetic within what a Duration can hold.
const maxInterval = 366 * 24 * time.Hour

// ParsePolicy reads values of -b, each KEY:VALUE with the keys of dumpcap(1)
// (duration, interval, filesize, packets, files, nametimenum, printname) and
// total, age, minfree. A plain number is seconds, or kB of 1000 bytes; units
// are those of time.ParseDuration and d for days, or kB, MB, GB, KiB, MiB, GiB.
// The policy is validated.
func ParsePolicy(values []string) (Policy, error) {
	var p Policy
	err := parseKeys("-b", values, map[string]setter{
		"duration":    into(&p.Duration, parseDuration),
		"interval":    into(&p.Interval, parseDuration),
		"filesize":    into(&p.FileBytes, parseBytes),
		"packets":     into(&p.Packets, parseCount),
		"files":       into(&p.Files, parseFiles),
		"total":       into(&p.TotalBytes, parseBytes),
		"age":         into(&p.Age, parseDuration),
		"minfree":     into(&p.MinFree, parseBytes),
		"nametimenum": into(&p.NameTimeNum, parseNameTimeNum),
		"printname":   into(&p.PrintName, parsePrintName),
	})
	if err != nil {
		return Policy{}, err
	}
	return p, p.Validate()
}

// ParseStop reads values of -a: duration, filesize, packets and files, written
// as for ParsePolicy.
func ParseStop(values []string) (Stop, error) {
	var s Stop
	err := parseKeys("-a", values, map[string]setter{
		"duration": into(&s.Duration, parseDuration),
		"filesize": into(&s.FileBytes, parseBytes),
		"packets":  into(&s.Packets, parseCount),
		"files":    into(&s.Files, parseFiles),
	})
	if err != nil {
		return Stop{}, err
	}
	return s, nil
}

// Cuts tells whether anything but a signal ends a file.
func (p Policy) Cuts() bool {
	return p.Duration > 0 || p.Interval > 0 || p.FileBytes > 0 || p.Packets > 0
}

// removes tells whether anything limits what is kept.
func (p Policy) removes() bool {
	return p.Files > 0 || p.TotalBytes > 0 || p.Age > 0 || p.MinFree > 0
}

// Validate refuses a policy that contradicts itself, and values out of range.
func (p Policy) Validate() error {
	switch {
	case min(p.Duration, p.Interval, p.Age) < 0 || p.Files < 0:
		return errors.New("duration, interval, age and files cannot be negative")
	case max(p.FileBytes, p.TotalBytes, p.MinFree) > math.MaxInt64:
		return fmt.Errorf("filesize, total and minfree cannot be above %d bytes", int64(math.MaxInt64))
	case p.Interval > maxInterval:
		return fmt.Errorf("interval %s: at most 366 days", p.Interval)
	case p.NameTimeNum < 0 || p.NameTimeNum > 2:
		return fmt.Errorf("nametimenum %d: expected 1 (number, then time) or 2 (time, then number)", p.NameTimeNum)
	case p.removes() && !p.Cuts():
		return errors.New("files, total, age and minfree remove complete files: say also when a file ends, " +
			"by duration, interval, filesize or packets")
	case p.TotalBytes > 0 && p.FileBytes > p.TotalBytes:
		return fmt.Errorf("filesize (%d bytes) is more than total (%d bytes)", p.FileBytes, p.TotalBytes)
	}
	return nil
}

// setter stores the value of one key.
type setter func(value string) error

// into returns a setter that parses a value into field.
func into[T any](field *T, parse func(string) (T, error)) setter {
	return func(value string) error {
		v, err := parse(value)
		*field = v
		return err
	}
}

func parseKeys(flag string, values []string, keys map[string]setter) error {
	known := strings.Join(slices.Sorted(maps.Keys(keys)), ", ")
	seen := make(map[string]bool)
	for _, arg := range values {
		key, value, found := strings.Cut(arg, ":")
		set := keys[key]
		switch {
		case !found:
			return fmt.Errorf("%s %s: expected KEY:VALUE, with one of the keys %s", flag, arg, known)
		case set == nil:
			return fmt.Errorf("%s %s: no key %q, expected one of %s", flag, arg, key, known)
		case seen[key]:
			return fmt.Errorf("%s %s: %s is given twice", flag, arg, key)
		}
		seen[key] = true
		if err := set(value); err != nil {
			return fmt.Errorf("%s %s: %w", flag, arg, err)
		}
	}
	return nil
}
