package rotate

import (
	"strings"
	"testing"
	"time"
)

// FuzzPattern: what a pattern makes of any time it knows again, with and without the
// number that tells files of the same name apart.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"x_%Y%m%d%H%M%S", "%Y/%m/%d/a_%H%M", "a%%b%s", "%j.%b", "\xff%H", "(%y", "a\n%H"} {
		f.Add(s, int64(1_700_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		const suffix = ".pcapng.zst"
		p, err := parsePattern(text, suffix)
		if err != nil {
			return
		}
		if seconds < 0 || seconds > 253_402_300_799 { // the year 9999
			return
		}
		at := time.Unix(seconds, 0).UTC()
		for try := range 3 {
			elems := strings.Split(p.name(at, 0, try), "/")
			if len(elems) != p.folders()+1 {
				t.Fatalf("%q is in %d folders, want %d", elems, len(elems)-1, p.folders())
			}
			for depth, elem := range elems {
				if !p.matches(depth, elem) {
					t.Errorf("%q of %q is not known again", elem, text)
				}
			}
		}
	})
}

// FuzzNumber: the number that is read from a name is the one that makes it, but behind
// those of earlier versions, which had more digits, numbers begin anew.
func FuzzNumber(f *testing.F) {
	f.Add("a", "a_00001_20261122161200.pcapng")
	f.Add("a_b", "a_b_20261122161200_123456.pcapng")
	f.Add("", "__00000_20261122161200.pcapng")
	f.Fuzz(func(t *testing.T, prefix, name string) {
		for _, timeFirst := range []bool{false, true} {
			n := numbered{prefix, ".pcapng", timeFirst}
			number := n.number(name)
			if (number > 0) != n.matches(0, name) {
				t.Fatalf("%q: number %d", name, number)
			}
			if number == 0 {
				continue
			}
			made := n.name(time.Date(2026, 11, 22, 16, 12, 0, 0, time.UTC), number-1, 0)
			want := number
			if number > maxNumber {
				want = 1
			}
			if got := n.number(made); got != want {
				t.Errorf("%q has number %d, and %q has %d, want %d", name, number, made, got, want)
			}
		}
	})
}

// FuzzPolicy reads values of -b and -a: what is taken is within its limits.
func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"duration:10", "interval:1d", "filesize:10MiB", "total:1e3GB", "age:9999999d", "files:2",
		"packets:18446744073709551615", "minfree:16EiB", "nametimenum:2", "printname:stdout", "filesize:1e400", "duration:nan"} {
		f.Add(s, "packets:1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		values := []string{a, b}
		if p, err := ParsePolicy(values); err == nil &&
			(p.Duration < 0 || p.Interval < 0 || p.Interval > maxInterval || p.Age < 0 || p.Files < 0 || p == Policy{}) {
			t.Errorf("%q: %+v", values, p)
		}
		if s, err := ParseStop(values); err == nil && (s.Duration < 0 || s.Files < 0) {
			t.Errorf("%q: %+v", values, s)
		}
	})
}
