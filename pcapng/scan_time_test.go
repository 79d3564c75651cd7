package pcapng

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestInterfaceTime(t *testing.T) {
	tests := []struct {
		name       string
		resolution byte
		offset     int64
		timestamp  uint64
		want       int64
	}{
		{"seconds", 0, 0, 1_700_000_000, 1_700_000_000_000_000_000},
		{"microseconds", 6, 0, 1_700_000_000_123_456, 1_700_000_000_123_456_000},
		{"nanoseconds", 9, 0, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789},
		{"picoseconds", 12, 0, 1_999, 1},
		{"10^-28", 28, 0, math.MaxUint64, 1},
		{"10^-29", 29, 0, math.MaxUint64, 0},
		{"10^-127", 127, 0, math.MaxUint64, 0},
		{"2^0", 0x80, 0, 7, 7_000_000_000},
		{"2^-10", 0x8a, 0, 1024 + 512, 1_500_000_000},
		{"2^-32", 0xa0, 0, 1<<32 | 1<<31, 1_500_000_000},
		{"2^-64", 0xc0, 0, 1 << 63, 500_000_000},
		{"2^-65", 0xc1, 0, 1 << 63, 250_000_000},
		{"2^-127", 0xff, 0, math.MaxUint64, 0},
		{"offset", 9, 1_700_000_000, 5, 1_700_000_000_000_000_005},
		{"negative offset", 9, -1, 5, -999_999_995},
		{"late time, early offset", 0, -20_000_000_000, 20_000_000_001, 1_000_000_000},
		{"the latest", 9, 0, math.MaxInt64, math.MaxInt64},
		{"too late", 9, 0, math.MaxInt64 + 1, math.MaxInt64},
		{"far too late", 0, math.MaxInt64, math.MaxUint64, math.MaxInt64},
		{"far too early", 0, math.MinInt64, 0, math.MinInt64},
	}
	for _, tt := range tests {
		i := Interface{clock: newClock(tt.resolution, tt.offset)}
		if got := i.UnixNano(tt.timestamp); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestInterfaceTimeExact compares with arithmetic that cannot overflow.
func TestInterfaceTimeExact(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	any64 := func() uint64 { return rnd.Uint64() >> rnd.UintN(64) }
	for range 200_000 {
		resolution, timestamp := byte(rnd.Uint32()), any64()
		offset := int64(any64())
		if rnd.IntN(2) == 0 {
			offset = -offset
		}
		i := Interface{clock: newClock(resolution, offset)}
		if got, want := i.UnixNano(timestamp), exactNano(resolution, offset, timestamp); got != want {
			t.Fatalf("if_tsresol %#x, if_tsoffset %d, timestamp %d: got %d, want %d", resolution, offset, timestamp, got, want)
		}
	}
}

func exactNano(resolution byte, offset int64, timestamp uint64) int64 {
	base := big.NewInt(10)
	if resolution&0x80 != 0 {
		base = big.NewInt(2)
	}
	units := base.Exp(base, big.NewInt(int64(resolution&0x7f)), nil)
	billion := big.NewInt(1e9)
	ns := new(big.Int).SetUint64(timestamp)
	ns.Mul(ns, billion).Div(ns, units)
	ns.Add(ns, billion.Mul(billion, big.NewInt(offset)))
	if ns.IsInt64() {
		return ns.Int64()
	}
	if ns.Sign() < 0 {
		return math.MinInt64
	}
	return math.MaxInt64
}
