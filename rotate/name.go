package rotate

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// naming gives the files of a series their names and knows them again. Names
// are relative to the directory of the series, with slashes.
type naming interface {
	// name is the try-th (from 0) name that a file that begins at t may have,
	// after the one with number last.
	name(t time.Time, last uint64, try int) string
	// folders is how many folders stand above a file.
	folders() int
	// matches tells whether a file, or a folder that stands depth folders
	// down, can be of the series.
	matches(depth int, elem string) bool
	// number is what tells older from newer, or 0 where only the packets do.
	number(name string) uint64
}

const (
	timeLayout   = "20060102150405"
	numberDigits = 5  // at least, as in dumpcap and in Wireshark's file sets
	maxDigits    = 12 // fewer than a time has, so that the two are never mixed up
)

// numbered names are PREFIX_00001_20261122161200SUFFIX or, with the time
// first, PREFIX_20261122161200_00001SUFFIX.
type numbered struct {
	prefix, suffix string
	timeFirst      bool
}

func (n numbered) name(t time.Time, last uint64, try int) string {
	number := fmt.Sprintf("%0*d", numberDigits, last+1+uint64(try))
	stamp := t.Format(timeLayout)
	if n.timeFirst {
		number, stamp = stamp, number
	}
	return n.prefix + "_" + number + "_" + stamp + n.suffix
}

func (n numbered) folders() int { return 0 }

func (n numbered) matches(_ int, elem string) bool { return n.number(elem) > 0 }

// number takes both orders of number and time: a series goes on, and its
// limits hold, when the order is changed.
func (n numbered) number(name string) uint64 {
	rest, isPrefixed := strings.CutPrefix(name, n.prefix+"_")
	rest, isSuffixed := strings.CutSuffix(rest, n.suffix)
	a, b, isSplit := strings.Cut(rest, "_")
	if !isPrefixed || !isSuffixed || !isSplit {
		return 0
	}
	if isTime(a) {
		return parseNumber(b)
	}
	if isTime(b) {
		return parseNumber(a)
	}
	return 0
}

func isTime(s string) bool {
	_, err := time.Parse(timeLayout, s)
	return len(s) == len(timeLayout) && err == nil
}

// parseNumber takes a number as name writes it; anything else is 0.
func parseNumber(s string) uint64 {
	if len(s) < numberDigits || len(s) > maxDigits || len(s) > numberDigits && s[0] == '0' {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
