package extract

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Time is a time as a user gives it: a point, or a distance from the begin or
// the end of what was captured.
type Time struct {
	from  anchor
	nanos int64
}

type anchor int

const (
	fromEpoch anchor = iota
	fromBegin
	fromEnd
)

// localLayouts are times without a zone. A fraction may follow the seconds.
var localLayouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

var (
	epochTime = regexp.MustCompile(`^@(-?\d{1,10})(?:\.(\d{1,9}))?$`)
	distance  = regexp.MustCompile(`(?s)^[+-](?:(\d{1,5})d)?(.*)$`)
)

// ParseTime reads
//
//	2026-11-22T16:00:00Z, 2026-11-22T16:00:00.25+01:00   RFC 3339
//	2026-11-22 16:00:05, 2026-11-22 16:00, 2026-11-22    local time
//	+10s, +1d2h                                          from the first packet on
//	-15m                                                 before the last packet
//	@1795363200, @1795363200.25                          seconds since 1970-01-01 00:00 UTC
func ParseTime(s string) (Time, error) {
	if strings.HasPrefix(s, "@") {
		return parseEpoch(s)
	}
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
		return parseDistance(s)
	}
	t, err := time.Parse(time.RFC3339, s)
	for _, layout := range localLayouts {
		if err != nil {
			t, err = time.ParseInLocation(layout, strings.Replace(s, "T", " ", 1), time.Local)
		}
	}
	if err != nil {
		return Time{}, fmt.Errorf("%q is no time: it has to be as 2026-11-22T16:00:00Z, '2026-11-22 16:00' (local), -15m (before the end), +10s (from the start) or @1795363200", s)
	}
	if t.Before(time.Unix(0, math.MinInt64)) || t.After(time.Unix(0, math.MaxInt64)) {
		return Time{}, fmt.Errorf("%q is before 1678 or after 2261: no packet can be of that time", s)
	}
	return Time{fromEpoch, t.UnixNano()}, nil
}

// maxSeconds is about how far from 1970 a time in nanoseconds can be.
const maxSeconds = math.MaxInt64/1_000_000_000 - 1

func parseEpoch(s string) (Time, error) {
	m := epochTime.FindStringSubmatch(s)
	if m == nil {
		return Time{}, fmt.Errorf("%q is no time: behind @ stand seconds since 1970, as in @1795363200.25", s)
	}
	seconds, _ := strconv.ParseInt(m[1], 10, 64) // ten digits
	fraction, _ := strconv.ParseInt((m[2] + "000000000")[:9], 10, 64)
	if strings.HasPrefix(m[1], "-") {
		fraction = -fraction
	}
	if max(seconds, -seconds) > maxSeconds {
		return Time{}, fmt.Errorf("%q is before 1678 or after 2261: no packet can be of that time", s)
	}
	return Time{fromEpoch, seconds*1e9 + fraction}, nil
}

func parseDistance(s string) (Time, error) {
	m := distance.FindStringSubmatch(s)
	days, _ := strconv.ParseInt("0"+m[1], 10, 64)
	d, err := time.ParseDuration(m[2])
	if m[1] != "" && m[2] == "" {
		d, err = 0, nil
	}
	if err == nil && d < 0 {
		err = errors.New("two signs")
	}
	if err != nil {
		return Time{}, fmt.Errorf("%q is no time: behind the sign stands a duration, as in %c90s, %c15m or %c1d12h", s, s[0], s[0], s[0])
	}
	d += time.Duration(days) * 24 * time.Hour
	if d < 0 {
		return Time{}, fmt.Errorf("%q is longer than 292 years", s)
	}
	if s[0] == '-' {
		return Time{fromEnd, -int64(d)}, nil
	}
	return Time{fromBegin, int64(d)}, nil
}

// NeedsBegin tells whether At needs to know the first packet's time.
func (t Time) NeedsBegin() bool { return t.from == fromBegin }

// NeedsEnd tells whether At needs to know the last packet's time.
func (t Time) NeedsEnd() bool { return t.from == fromEnd }

// At returns the time in nanoseconds since 1970-01-01 00:00 UTC, for a capture
// whose first and last packets are of those times.
func (t Time) At(first, last int64) int64 {
	switch t.from {
	case fromBegin:
		if first > math.MaxInt64-t.nanos {
			return math.MaxInt64
		}
		return first + t.nanos
	case fromEnd:
		if last < math.MinInt64-t.nanos {
			return math.MinInt64
		}
		return last + t.nanos
	}
	return t.nanos
}
