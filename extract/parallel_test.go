package extract

import (
	"iter"
	"slices"
	"sync/atomic"
	"testing"
)

func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// TestParallel: results come in order, and no more is held than allowed.
func TestParallel(t *testing.T) {
	for _, weight := range []int64{0, unitBytes * 5, unitBytes * stageUnits * 3} {
		var held, most atomic.Int64
		hold := func(int) int64 { return weight }
		work := func(i int) int {
			most.Store(max(most.Load(), held.Add(1)))
			return i * i
		}
		var got []int
		for r := range parallel(numbers(500), hold, work) {
			got = append(got, r)
			held.Add(-1)
		}
		want := slices.Collect(numbers(500))
		for i := range want {
			want[i] *= i
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v", got)
		}
		if weight > 0 && most.Load() > max(1, stageUnits/5) {
			t.Errorf("%d jobs of %d bytes were held", most.Load(), weight)
		}
	}
}

// TestParallelStops: whoever has enough waits for nothing, and leaves nothing
// running.
func TestParallelStops(t *testing.T) {
	for enough := range 20 {
		ended := false
		jobs := func(yield func(int) bool) {
			defer func() { ended = true }()
			for i := 0; yield(i); i++ {
			}
		}
		one := func(int) int64 { return 1 }
		got := 0
		for range parallel(parallel(jobs, one, func(i int) int { return i }), one, func(i int) int { return i }) {
			if got++; got > enough {
				break
			}
		}
		if !ended || got != enough+1 {
			t.Fatalf("%d results, jobs have ended: %v", got, ended)
		}
	}
}
