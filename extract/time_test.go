package extract

import (
	"math"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	const first, last = int64(1_000_000_000_000), int64(2_000_000_000_000)
	local := func(s string) int64 {
		at, err := time.ParseInLocation("2006-01-02 15:04:05", s, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixNano()
	}
	for s, want := range map[string]int64{
		"2026-11-22T16:00:00Z":           1_795_363_200_000_000_000,
		"2026-11-22T17:00:00.25+01:00":   1_795_363_200_250_000_000,
		"2026-11-22T16:00:00.123456789Z": 1_795_363_200_123_456_789,
		"2026-11-22 16:00":               local("2026-11-22 16:00:00"),
		"2026-11-22T16:00":               local("2026-11-22 16:00:00"),
		"2026-11-22 16:00:05.5":          local("2026-11-22 16:00:05") + 5e8,
		"2026-11-22":                     local("2026-11-22 00:00:00"),
		"@1795363200":                    1_795_363_200_000_000_000,
		"@1795363200.000000001":          1_795_363_200_000_000_001,
		"@0.25":                          250_000_000,
		"@-1.25":                         -1_250_000_000,
		"@-0.5":                          -500_000_000,
		"+10s":                           first + 10e9,
		"+0s":                            first,
		"+1d":                            first + 86_400e9,
		"+1d1h30m":                       first + 91_800e9,
		"-15m":                           last - 900e9,
		"-1.5s":                          last - 15e8,
		"-2d":                            last - 172_800e9,
	} {
		got, err := ParseTime(s)
		if err != nil || got.At(first, last) != want {
			t.Errorf("%s: %d, %v; want %d", s, got.At(first, last), err, want)
		}
		if got.NeedsEnd() != (s[0] == '-') {
			t.Errorf("%s needs the end: %v", s, got.NeedsEnd())
		}
	}
	for _, s := range []string{"", "now", "16:00", "2026-11-22T25:00", "2026-13-01", "1500-01-01", "3000-01-01T00:00:00Z",
		"@", "@x", "@1e9", "@1.", "@1.0000000001", "@99999999999", "@9999999999", "@ 1",
		"+", "-", "+10", "--10s", "+-10s", "-d", "+1d1d", "+99999d2562047h", "-\n", "+10s\n"} {
		if got, err := ParseTime(s); err == nil {
			t.Errorf("%q is taken for %+v", s, got)
		}
	}
	if got := (Time{fromBegin, math.MaxInt64}).At(1, 1); got != math.MaxInt64 {
		t.Errorf("the longest time behind is %d", got)
	}
	if got := (Time{fromEnd, -math.MaxInt64}).At(-9, -9); got != math.MinInt64 {
		t.Errorf("the longest time before is %d", got)
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-11-22 16:00", "@1.5", "+1d2h", "-15m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ParseTime(s); err == nil {
			_ = got.At(0, math.MaxInt64) // whatever it is, it must not panic
		}
	})
}
