package rotate

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

var (
	errDuration = errors.New("expected a time above 0 such as 60 (seconds), 0.5, 10m, 1h or 7d")
	errBytes    = errors.New("expected a size above 0 such as 10000 (kB of 1000 bytes), 10MB or 1GiB")
	errCount    = errors.New("expected a number from 1")
	errTooLarge = errors.New("the number is too large")
	errNameNum  = errors.New("expected 1 (number, then time) or 2 (time, then number)")
	errPrint    = errors.New("expected stdout, stderr or the name of a file")
)

// parseDuration takes seconds ("0.5"), a Go duration ("1h30m"), or days and
// then, if need be, a Go duration ("1d12h").
func parseDuration(s string) (time.Duration, error) {
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		return parsePositive(s)
	}
	// A day is written as an hour, and 24 of them are taken.
	d, err := parsePositive(days + "h")
	if err != nil || !isNumber(days) {
		return 0, errDuration
	}
	var more time.Duration
	if rest != "" {
		if more, err = parsePositive(rest); err != nil || isNumber(rest) {
			return 0, errDuration
		}
	}
	if d > (math.MaxInt64-more)/24 {
		return 0, errTooLarge
	}
	return 24*d + more, nil
}

func parsePositive(s string) (time.Duration, error) {
	if isNumber(s) {
		s += "s"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errDuration
	}
	return d, nil
}

// parseBytes takes kB of 1000 bytes ("500") or a number with a unit ("1.5GiB").
func parseBytes(s string) (uint64, error) {
	if isNumber(s) {
		s += "kB"
	}
	n, err := humanize.ParseBytes(s)
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "too large"):
		return 0, errTooLarge
	case err != nil || n == 0 || strings.Contains(s, ","):
		return 0, errBytes
	case n > math.MaxInt64:
		return 0, errTooLarge
	}
	return n, nil
}

func parseCount(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errTooLarge
	}
	if err != nil || n == 0 {
		return 0, errCount
	}
	return n, nil
}

func parseFiles(s string) (int, error) {
	n, err := parseCount(s)
	if n > math.MaxInt32 {
		return 0, errTooLarge
	}
	return int(n), err
}

func parseNameTimeNum(s string) (int, error) {
	if s != "1" && s != "2" {
		return 0, errNameNum
	}
	return int(s[0] - '0'), nil
}

func parsePrintName(s string) (string, error) {
	if s == "" {
		return "", errPrint
	}
	return s, nil
}

// isNumber tells whether s is written in digits and at most one point only.
func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == "" && strings.Count(s, ".") <= 1
}
