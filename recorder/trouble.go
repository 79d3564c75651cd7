package recorder

import (
	"errors"
	"sync"
	"syscall"
)

// troubles are what fails at present. Each is told when it begins, when its cause
// changes, and when it is over: not for every try.
type troubles struct {
	event func(any)

	mu      sync.Mutex // the writer and the closer have troubles
	present map[Doing]string
}

func newTroubles(event func(any)) *troubles {
	return &troubles{event: event, present: make(map[Doing]string)}
}

// begin tells of err, unless that is what is known.
func (t *troubles) begin(doing Doing, err error) {
	t.mu.Lock()
	cause := causeOf(err)
	known := t.present[doing] == cause
	t.present[doing] = cause
	t.mu.Unlock()
	if !known {
		t.event(Trouble{doing, err})
	}
}

// over tells that it works again, where it did not.
func (t *troubles) over(doing Doing) {
	t.mu.Lock()
	_, was := t.present[doing]
	delete(t.present, doing)
	t.mu.Unlock()
	if was {
		t.event(Recovered{doing})
	}
}

// causeOf is what is the same in the errors of all tries, whose texts name the file
// that each was about.
func causeOf(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}
