package rotate

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestNumberedNames(t *testing.T) {
	n := numbered{prefix: "capture", suffix: ".pcapng.zst"}
	// Wireshark takes for a file set what ends in this way.
	fileSet := regexp.MustCompile(`_\d{5}_\d{14}\.pcapng\.zst$`)
	for _, c := range []struct {
		last      uint64
		timeFirst bool
		want      string
	}{
		{0, false, "capture_00001_20261122161200.pcapng.zst"},
		{99998, false, "capture_99999_20261122161200.pcapng.zst"},
		{99999, false, "capture_00001_20261122161200.pcapng.zst"},
		{4000000000, false, "capture_00001_20261122161200.pcapng.zst"}, // of an earlier version
		{0, true, "capture_20261122161200_00001.pcapng.zst"},
	} {
		n.timeFirst = c.timeFirst
		got := n.name(start, c.last, 0)
		if got != c.want {
			t.Errorf("after %d: %s, want %s", c.last, got, c.want)
		}
		if want := (c.last + 1) % 100000; c.last < 99999 && n.number(got) != want {
			t.Errorf("%s has number %d, want %d", got, n.number(got), want)
		}
		if !c.timeFirst && !fileSet.MatchString(got) {
			t.Errorf("%s is in no file set", got)
		}
	}
}

func TestNumberedNamesOfOthers(t *testing.T) {
	n := numbered{prefix: "capture", suffix: ".pcapng"}
	for _, name := range []string{
		"", "capture", "capture.pcapng", "capture_.pcapng", "capture__.pcapng",
		"capture_00000_20261122161200.pcapng",         // number 0
		"capture_1_20261122161200.pcapng",             // too few digits
		"capture_012345_20261122161200.pcapng",        // too many
		"capture_+0001_20261122161200.pcapng",         //
		"capture_9999999999999_20261122161200.pcapng", // absurd
		"capture_00001_2026112216120.pcapng",
		"capture_00001_20261322161200.pcapng", // month 13
		"capture_00001_20261122161200.pcapng.zst",
		"capture_00001_20261122161200.pcapng.keep",
		"capture_00001_00002_20261122161200.pcapng",
		"capture_eth0_00001_20261122161200.pcapng",
		"Capture_00001_20261122161200.pcapng",
		"other_00001_20261122161200.pcapng",
	} {
		if n.matches(0, name) {
			t.Errorf("%q is taken for number %d of the series", name, n.number(name))
		}
	}
}

func TestPattern(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", -(3*3600+1800)))
	for text, want := range map[string]string{
		"%Y-%m-%d/%H%M%S": "2026-01-02/030405",
		"%y %j %z":        "26 002 -0330",
		"%F/%T":           "2026-01-02/03:04:05",
		"%s":              "1767335645",
		"100%%_%Y+(a)":    "100%_2026+(a)",
	} {
		p, err := parsePattern(text, ".x")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := p.name(at, 7, 0); got != want+".x" {
			t.Errorf("%s: %s, want %s.x", text, got, want)
		}
		for try, isOf := range map[string]bool{"": true, "_2": true, "_23": true, "_": false, "_a": false, "x7": false} {
			elems := strings.Split(want+try+".x", "/")
			got := p.folders() == len(elems)-1
			for i, elem := range elems {
				got = got && p.matches(i, elem)
			}
			if got != isOf {
				t.Errorf("%s matches %q: %t, want %t", text, elems, got, isOf)
			}
		}
	}
}

func TestPatternRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"%":         "ends with a single %",
		"%Y%":       "ends with a single %",
		"%Q":        "%Q, which is not known",
		"%e":        "%e, which is not known",
		"%Y/../x":   "has to be a name",
		"%Y//x":     "has to be a name",
		"%Y/":       "has to be a name",
		"%Y/./%H":   "has to be a name",
		"%-d":       "%-, which is not known",
		"a%\x00b%Y": "which is not known",
	} {
		if _, err := parsePattern(text, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestPatternTellsApart(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		text  string
		every time.Duration
		ok    bool
	}{
		{"%H", 30 * time.Minute, false},
		{"%H", time.Hour, true},
		{"%H", time.Hour - 1, false},
		{"%H", 90 * time.Minute, true},
		{"%H", day, false}, // every day the same
		{"%F/%H", day, true},
		{"%M", time.Hour, false},
		{"%H%M", time.Minute, true},
		{"%T", time.Second, true},
		{"%T", time.Second / 2, false},
		{"%s", time.Second, true},
		{"%Y%m", 28 * day, false},
		{"%Y%m", 31 * day, true},
		{"%Y", 365 * day, false},
		{"%Y", 366 * day, true},
		{"%j", day, true},
		{"%z", day, false},
	} {
		p, err := parsePattern(c.text, ".x")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.tellsApart("interval", c.every); (err == nil) != c.ok {
			t.Errorf("%s every %s: %v", c.text, c.every, err)
		}
	}
}
