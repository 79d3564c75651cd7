package extract

import (
	"iter"
	"runtime"
)

// stageUnits bounds what a stage holds at a time, in units of unitBytes.
const (
	stageUnits = 32
	unitBytes  = 1 << 20
)

// parallel returns work of each job, in the order of the jobs. It works on
// several at once, as many as there are processors, at least two, and as take less
// than 32 MiB by what weight says; a heavier one is worked on alone. A job counts until
// the caller has dealt with its result. All goroutines of this package are
// started here; they have ended when the iteration ends.
func parallel[J, R any](jobs iter.Seq[J], weight func(J) int64, work func(J) R) iter.Seq[R] {
	type slot struct {
		result chan R // work sends one
		units  int
	}
	return func(yield func(R) bool) {
		// Closed by the feeder, which has begun one job more; the caller has another.
		inOrder := make(chan slot, max(runtime.GOMAXPROCS(0)-2, 0))
		units := make(chan struct{}, stageUnits)
		stop := make(chan struct{})
		go func() {
			defer close(inOrder)
			for j := range jobs {
				select {
				case <-stop:
					return
				default:
				}
				s := slot{make(chan R, 1), int(min(weight(j)/unitBytes+1, stageUnits))}
				for range s.units {
					select {
					case units <- struct{}{}:
					case <-stop:
						return
					}
				}
				go func() { s.result <- work(j) }()
				inOrder <- s
			}
		}()
		stopped := false
		for s := range inOrder {
			r := <-s.result
			if !stopped && !yield(r) {
				stopped = true
				close(stop)
			}
			for range s.units {
				<-units
			}
		}
	}
}
