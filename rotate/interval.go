package rotate

import "time"

// IntervalBounds returns the interval of the wall clock in t's location that
// t lies in: lo ≤ t < hi. Intervals begin where the clock shows a multiple of
// interval, counted from 1970-01-01 00:00 on that clock: 10 minutes at :00,
// :10, :20, a day at midnight. The interval must be positive, and t between
// the years 1678 and 2262.
//
// Where the clock is changed (daylight saving), an interval that goes on in
// the clock's new time is longer or shorter than the others, and one that does
// not ends with the change. An interval that the clock shows twice from
// beginning to end, an hour in autumn, counts as two.
func IntervalBounds(t time.Time, interval time.Duration) (lo, hi time.Time) {
	w := wall(t)
	k := floorDiv(w, interval)
	begin, end := k*interval, (k+1)*interval // as the clock shows them
	lo, hi = t.Add(begin-w), t.Add(end-w)

	for change := lastChange(t); !change.IsZero() && !lo.After(change); {
		before := change.Add(-1)
		if !goesOn(wall(before)+1, wall(change), interval) {
			lo = change
			break
		}
		lo = change.Add(begin - (wall(before) + 1))
		change = lastChange(before)
	}
	for change := nextChange(t); !change.IsZero() && !hi.Before(change); {
		if !goesOn(wall(change.Add(-1))+1, wall(change), interval) {
			hi = change
			break
		}
		hi = change.Add(end - wall(change))
		change = nextChange(change)
	}
	return lo.Round(0), hi.Round(0)
}

// lastChange is when the clock was changed last, at t or before; zero: never.
// It may be a change by nothing.
func lastChange(t time.Time) time.Time {
	from, _ := t.ZoneBounds()
	return from
}

// nextChange is when the clock is changed next after t; zero: never. It may be
// a change by nothing.
func nextChange(t time.Time) time.Time {
	_, to := t.ZoneBounds()
	if !to.IsZero() && !to.After(t) {
		// Go 1.26 ends leap years a day early where only a rule tells the
		// changes: on 2028-12-31 in New York, the end has passed.
		_, to = to.Add(24 * time.Hour).ZoneBounds()
	}
	return to
}

// goesOn tells whether an interval goes on over a change of the clock from
// before to after: both lie in the same one, and it is not shown twice from
// beginning to end.
func goesOn(before, after, interval time.Duration) bool {
	twice := before%interval == 0 && after%interval == 0
	return !twice && floorDiv(before-1, interval) == floorDiv(after, interval)
}

// wall is the time since 1970-01-01 00:00 that a clock in t's location shows.
func wall(t time.Time) time.Duration {
	_, offset := t.Zone()
	return time.Duration(t.UnixNano()) + time.Duration(offset)*time.Second
}

func floorDiv(a, b time.Duration) time.Duration {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
