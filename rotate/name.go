package rotate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
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
	// latest is the number of the file that was made last, or 0.
	latest(names []string) uint64
}

const (
	timeLayout = "20060102150405"
	// Numbers have five digits: Wireshark takes nothing else for a file set. Behind
	// the last one comes the first again, as in dumpcap.
	numberDigits = 5
	maxNumber    = 99999
	maxDigits    = 12 // of earlier versions; fewer than a time has, so that the two are never mixed up
)

// numbered names are PREFIX_00001_20261122161200SUFFIX or, with the time
// first, PREFIX_20261122161200_00001SUFFIX.
type numbered struct {
	prefix, suffix string
	timeFirst      bool
}

func (n numbered) name(t time.Time, last uint64, try int) string {
	if last >= maxNumber {
		last = 0
	}
	number := fmt.Sprintf("%0*d", numberDigits, (last+uint64(try))%maxNumber+1)
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
	number, _ := n.split(name)
	return number
}

// split returns number and time of a name; number 0: it is none of the series.
func (n numbered) split(name string) (number uint64, stamp string) {
	rest, isPrefixed := strings.CutPrefix(name, n.prefix+"_")
	rest, isSuffixed := strings.CutSuffix(rest, n.suffix)
	a, b, isSplit := strings.Cut(rest, "_")
	if !isPrefixed || !isSuffixed || !isSplit {
		return 0, ""
	}
	if isTime(a) {
		return parseNumber(b), a
	}
	if isTime(b) {
		return parseNumber(a), b
	}
	return 0, ""
}

// latest is the highest number. But where numbers have begun anew while some of the
// old ones are there, it is the one before the widest gap, if its file is not older
// than that with the highest: a clock that was set back changes nothing.
func (n numbered) latest(names []string) uint64 {
	stamps := make(map[uint64]string)
	for _, name := range names {
		number, stamp := n.split(name)
		stamps[number] = max(stamps[number], stamp)
	}
	numbers := slices.Sorted(maps.Keys(stamps))
	if len(numbers) == 0 {
		return 0
	}
	latest := numbers[len(numbers)-1]
	last, widest := latest, numbers[0]+maxNumber-min(latest, maxNumber)
	for i, number := range numbers[:len(numbers)-1] {
		if gap := numbers[i+1] - number; gap > widest {
			last, widest = number, gap
		}
	}
	if stamps[last] >= stamps[latest] {
		return last
	}
	return latest
}

// numbersAhead is how far behind the last number those of another process may be
// that makes files of the same series. What is further is from before numbers began
// anew.
const numbersAhead = 1000

// compareNumbers orders by age, where last was given last.
func compareNumbers(a, b, last uint64) int {
	round := func(number uint64) int {
		if number > last+numbersAhead {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(round(a), round(b)), cmp.Compare(a, b))
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
