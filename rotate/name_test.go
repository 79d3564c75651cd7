package rotate

import (
	"fmt"
	"path/filepath"
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

// TestLatestNumber: behind 99999 numbers begin anew, over a restart, too.
func TestLatestNumber(t *testing.T) {
	n := numbered{prefix: "c"}
	at := func(number, day int) string { return fmt.Sprintf("c_%05d_202611%02d161200", number, day) }
	var many []string
	for i := 1; i <= 99; i++ {
		if i <= 5 || i >= 20 {
			many = append(many, at(1000*i, 1+5/i))
		}
	}
	for what, c := range map[string]struct {
		names []string
		want  uint64
	}{
		"nothing":                       {nil, 0},
		"one":                           {[]string{at(7, 1)}, 7},
		"two":                           {[]string{at(7, 1), at(3, 1)}, 7},
		"a clock that was set back":     {[]string{at(5, 9), at(6, 9), at(7, 1)}, 7},
		"the last number":               {[]string{at(99998, 1), at(99999, 1)}, 99999},
		"begun anew":                    {[]string{at(99998, 1), at(99999, 1), at(1, 2), at(2, 2)}, 2},
		"in the same second":            {[]string{at(99999, 1), at(1, 1)}, 1},
		"begun anew, old ones are gone": {[]string{at(1, 2), at(2, 2)}, 2},
		"many are kept":                 {many, 5000},
		"an old one was pinned":         {[]string{at(1, 1), at(80000, 8), at(80001, 8)}, 80001},
		"pinned, and a clock set back":  {[]string{at(1, 5), at(80000, 8), at(80001, 1), at(80002, 7)}, 80002},
		"a jump of an earlier version":  {[]string{at(1, 1), at(4000000000, 2)}, 4000000000},
		"a jump, and begun anew":        {[]string{at(4000000000, 2), at(4000000001, 2), at(1, 3)}, 1},
		"time first":                    {[]string{"c_20261101161200_00004", at(3, 1)}, 4},
	} {
		if got := n.latest(c.names); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
}

// TestSeriesBeginsAnew: order and limits hold where numbers begin anew.
func TestSeriesBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	p := Policy{Packets: 1, Files: 4}
	put(t, filepath.Join(dir, "c_99997_20261122161100"+testSuffix), string(content(start, start, 50)))
	s := open(t, dir+"/c", p)
	names := record(t, s, 4, 50)
	for i, number := range []string{"99998", "99999", "00001", "00002"} {
		if !strings.Contains(names[i], "c_"+number+"_") {
			t.Errorf("file %d is %s, want number %s", i, names[i], number)
		}
	}
	if removed, err := retain(t, s, start, 0); err != nil || len(removed) != 1 || !strings.Contains(removed[0].Name, "c_99997_") {
		t.Errorf("removed %v, %v", removed, err)
	}
	s = open(t, dir+"/c", p)
	f := next(t, s, start.Add(time.Hour))
	if !strings.Contains(f.Name(), "c_00003_") {
		t.Errorf("after a restart: %s", f.Name())
	}
	if removed, err := retain(t, s, start, 0); err != nil || len(removed) != 1 || removed[0].Name != names[0] {
		t.Errorf("after a restart removed %v, %v, want %s", removed, err, names[0])
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
