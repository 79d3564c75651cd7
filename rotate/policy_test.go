package rotate

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParsePolicy(t *testing.T) {
	for _, c := range []struct {
		values string // separated by spaces
		want   Policy
	}{
		{"", Policy{}},
		{"duration:60", Policy{Duration: time.Minute}},
		{"duration:0.5", Policy{Duration: 500 * time.Millisecond}},
		{"duration:1h30m", Policy{Duration: 90 * time.Minute}},
		{"interval:1d", Policy{Interval: 24 * time.Hour}},
		{"interval:1.5d", Policy{Interval: 36 * time.Hour}},
		{"interval:1d12h", Policy{Interval: 36 * time.Hour}},
		{"filesize:1", Policy{FileBytes: 1000}},
		{"filesize:10MB", Policy{FileBytes: 10_000_000}},
		{"filesize:1GiB", Policy{FileBytes: 1 << 30}},
		{"filesize:1.5KiB", Policy{FileBytes: 1536}},
		{"packets:1000", Policy{Packets: 1000}},
		{"packets:9223372036854775807", Policy{Packets: math.MaxInt64}},
		{"packets:1 files:5 total:1GB age:7d minfree:500MiB", Policy{Packets: 1, Files: 5,
			TotalBytes: 1_000_000_000, Age: 7 * 24 * time.Hour, MinFree: 500 << 20}},
		{"nametimenum:2 printname:stdout", Policy{NameTimeNum: 2, PrintName: "stdout"}},
		{"printname:a:b", Policy{PrintName: "a:b"}},
	} {
		got, err := ParsePolicy(strings.Fields(c.values))
		if err != nil || got != c.want {
			t.Errorf("-b %s: %+v, %v; want %+v", c.values, got, err, c.want)
		}
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	for values, want := range map[string]string{
		"duration":                       "expected KEY:VALUE",
		"size:5":                         `no key "size"`,
		"duration:5 duration:6":          "given twice",
		"duration:":                      "expected a time",
		"duration:0":                     "expected a time",
		"duration:-5":                    "expected a time",
		"duration:-1d":                   "expected a time",
		"duration:5x":                    "expected a time",
		"duration:1d5":                   "expected a time",
		"duration:1hd":                   "expected a time",
		"duration:1e400":                 "expected a time",
		"duration:99999999999999":        "expected a time",
		"duration:9999999d":              "expected a time",
		"duration:200000d":               "too large",
		"filesize:0":                     "expected a size",
		"filesize:-1MB":                  "expected a size",
		"filesize:1,000":                 "expected a size",
		"filesize:5 parsecs":             "expected KEY:VALUE", // two arguments here
		"filesize:5XB":                   "expected a size",
		"filesize:99999999999999999999":  "too large",
		"filesize:9EiB":                  "too large",
		"filesize:18446744073709551":     "too large",
		"packets:0":                      "number from 1",
		"packets:1.5":                    "number from 1",
		"packets:9223372036854775808":    "too large",
		"packets:1 files:2147483648":     "too large",
		"files:5":                        "say also when a file ends",
		"total:5MB":                      "say also when a file ends",
		"age:5d printname:stdout":        "say also when a file ends",
		"minfree:5GB":                    "say also when a file ends",
		"filesize:2MB total:1MB files:1": "more than total",
		"interval:367d":                  "at most 366 days",
		"nametimenum:0":                  "expected 1",
		"nametimenum:3":                  "expected 1",
		"printname:":                     "expected stdout",
	} {
		got, err := ParsePolicy(strings.Fields(values))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("-b %s: %+v, error %v; want an error with %q", values, got, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, p := range []Policy{
		{Duration: -1}, {Interval: -1}, {Age: -1, Packets: 1}, {Files: -1, Packets: 1},
		{FileBytes: math.MaxInt64 + 1}, {Packets: 1, TotalBytes: math.MaxUint64},
		{Packets: 1, MinFree: math.MaxUint64}, {NameTimeNum: 3}, {NameTimeNum: -1},
	} {
		if err := p.Validate(); err == nil {
			t.Errorf("%+v is valid", p)
		}
	}
	for _, p := range []Policy{{}, {Interval: maxInterval}, {FileBytes: 5, TotalBytes: 5, Files: 1}} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestParseStop(t *testing.T) {
	got, err := ParseStop([]string{"duration:10m", "filesize:2MB", "files:3", "packets:7"})
	if want := (Stop{10 * time.Minute, 2_000_000, 7, 3}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := ParseStop([]string{"interval:5"}); err == nil || !strings.Contains(err.Error(), "-a interval:5") {
		t.Errorf("-a interval:5: error %v", err)
	}
}
