package rotate

import (
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata" // the tests need no zoneinfo on the machine
)

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestIntervalBounds(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		zone, at string // at, lo, hi: RFC 3339 with the offset that holds then
		interval time.Duration
		lo, hi   string
	}{
		{"UTC", "2026-11-22T16:12:13Z", 10 * time.Minute, "2026-11-22T16:10:00Z", "2026-11-22T16:20:00Z"},
		{"UTC", "2026-11-22T16:10:00Z", 10 * time.Minute, "2026-11-22T16:10:00Z", "2026-11-22T16:20:00Z"},
		{"UTC", "1960-01-01T00:00:30Z", time.Minute, "1960-01-01T00:00:00Z", "1960-01-01T00:01:00Z"},
		{"Asia/Kathmandu", "2026-11-22T16:12:13+05:45", time.Hour, "2026-11-22T16:00:00+05:45", "2026-11-22T17:00:00+05:45"},
		{"Asia/Kathmandu", "2026-11-22T16:12:13+05:45", day, "2026-11-22T00:00:00+05:45", "2026-11-23T00:00:00+05:45"},

		// Spring: 02:00 becomes 03:00.
		{"Europe/Berlin", "2026-03-29T12:00:00+02:00", day, "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		{"Europe/Berlin", "2026-03-29T01:30:00+01:00", time.Hour, "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"Europe/Berlin", "2026-03-29T01:30:00+01:00", 4 * time.Hour, "2026-03-29T00:00:00+01:00", "2026-03-29T04:00:00+02:00"},
		{"Europe/Berlin", "2026-03-29T03:30:00+02:00", 2 * time.Hour, "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"},

		// Autumn: 03:00 becomes 02:00; the hour from 2 to 3 is there twice.
		{"Europe/Berlin", "2026-10-25T12:00:00+01:00", day, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"},
		{"Europe/Berlin", "2026-10-25T02:30:00+02:00", time.Hour, "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"},
		{"Europe/Berlin", "2026-10-25T02:30:00+01:00", time.Hour, "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"},
		{"Europe/Berlin", "2026-10-25T02:50:00+02:00", 30 * time.Minute, "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"},
		{"Europe/Berlin", "2026-10-25T02:30:00+02:00", 2 * time.Hour, "2026-10-25T02:00:00+02:00", "2026-10-25T04:00:00+01:00"},
		{"Europe/Berlin", "2026-10-25T03:30:00+01:00", 2 * time.Hour, "2026-10-25T02:00:00+02:00", "2026-10-25T04:00:00+01:00"},
		{"America/New_York", "2026-11-01T01:59:59-04:00", time.Hour, "2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00"},
		{"America/New_York", "2026-11-01T20:00:00-05:00", day, "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"},

		// Half an hour: 02:00 becomes 01:30.
		{"Australia/Lord_Howe", "2026-04-05T01:45:00+11:00", 30 * time.Minute, "2026-04-05T01:30:00+11:00", "2026-04-05T01:30:00+10:30"},
		{"Australia/Lord_Howe", "2026-04-05T01:45:00+11:00", time.Hour, "2026-04-05T01:00:00+11:00", "2026-04-05T02:00:00+10:30"},
		{"Australia/Lord_Howe", "2026-10-04T02:45:00+11:00", time.Hour, "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00"},

		// The change is at midnight, or goes back to it: still one day.
		{"America/Havana", "2026-11-01T00:30:00-04:00", day, "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"},
		{"America/Sao_Paulo", "2018-02-17T23:30:00-03:00", day, "2018-02-17T00:00:00-02:00", "2018-02-18T00:00:00-03:00"},
		{"America/Sao_Paulo", "2018-11-04T01:30:00-02:00", day, "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"},

		// Go's zones end early in leap years.
		{"America/New_York", "2028-12-31T12:00:00-05:00", day, "2028-12-31T00:00:00-05:00", "2029-01-01T00:00:00-05:00"},
	} {
		at := parse(t, c.at).In(location(t, c.zone))
		lo, hi := IntervalBounds(at, c.interval)
		if !lo.Equal(parse(t, c.lo)) || !hi.Equal(parse(t, c.hi)) {
			t.Errorf("%s in %s, every %s:\ngot  [%s, %s)\nwant [%s, %s)", c.at, c.zone, c.interval,
				lo.Format(time.RFC3339), hi.Format(time.RFC3339), c.lo, c.hi)
		}
	}
}

func parse(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestIntervalsTile: intervals follow one another without gap or overlap, and
// away from changes of the clock they begin at multiples and are full.
func TestIntervalsTile(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
		"America/Sao_Paulo", "America/Havana", "Africa/Monrovia", "Asia/Pyongyang", "Pacific/Apia",
		"Europe/Dublin", "Antarctica/Troll", "America/Caracas"}
	rnd := rand.New(rand.NewPCG(1, 2))
	begin := time.Date(1850, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	end := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	usual := []time.Duration{time.Second, time.Minute, 15 * time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, maxInterval}
	for range 20000 {
		zone := location(t, zones[rnd.IntN(len(zones))])
		at := time.Unix(begin+rnd.Int64N(end-begin), rnd.Int64N(1e9)).In(zone)
		if rnd.IntN(2) == 0 { // near a change of the clock
			if change, _ := at.ZoneBounds(); !change.IsZero() {
				at = change.Add(time.Duration(rnd.Int64N(int64(4*time.Hour))) - 2*time.Hour)
			}
		}
		interval := usual[rnd.IntN(len(usual))]
		if rnd.IntN(2) == 0 {
			interval = 1 + time.Duration(rnd.Int64N(int64(48*time.Hour)))
		}
		checkInterval(t, at, interval)
		if t.Failed() {
			return
		}
	}
}

func checkInterval(t *testing.T, at time.Time, interval time.Duration) {
	t.Helper()
	lo, hi := IntervalBounds(at, interval)
	if at.Before(lo) || !at.Before(hi) {
		t.Errorf("%s every %s: not in [%s, %s)", at, interval, lo, hi)
	}
	same := func(what string, at time.Time) {
		if l, h := IntervalBounds(at, interval); !l.Equal(lo) || !h.Equal(hi) {
			t.Errorf("every %s: [%s, %s), but at %s, %s, [%s, %s)", interval, lo, hi, what, at, l, h)
		}
	}
	same("its begin", lo)
	same("its last nanosecond", hi.Add(-1))
	if mid := lo.Add(hi.Sub(lo) / 2); !mid.Before(lo) {
		same("its middle", mid)
	}
	if _, h := IntervalBounds(lo.Add(-1), interval); !h.Equal(lo) {
		t.Errorf("every %s: the interval before %s ends at %s", interval, lo, h)
	}
	if l, _ := IntervalBounds(hi, interval); !l.Equal(hi) {
		t.Errorf("every %s: the interval after %s begins at %s", interval, hi, l)
	}
	from, to := at.ZoneBounds()
	isCalm := (from.IsZero() || from.Before(lo)) && (to.IsZero() || to.After(hi))
	if isCalm && (hi.Sub(lo) != interval || wall(lo)%interval != 0) {
		t.Errorf("every %s: [%s, %s) is not a full interval from a multiple", interval, lo, hi)
	}
}

func FuzzIntervalBounds(f *testing.F) {
	f.Add(int64(1792890000e9), int64(time.Hour))
	f.Fuzz(func(t *testing.T, nano, interval int64) {
		if interval <= 0 || interval > int64(maxInterval) || max(nano, -nano) > 8e18 || nano == -1<<63 {
			return
		}
		for _, zone := range []string{"Europe/Berlin", "Australia/Lord_Howe", "America/Havana"} {
			checkInterval(t, time.Unix(0, nano).In(location(t, zone)), time.Duration(interval))
		}
	})
}
