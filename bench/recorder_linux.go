package main

import (
	"context"
	"os"
	"syscall"
	"time"
)

// recorder is a contestant that runs: one process, or several of which each
// writes into the next; and what holds the device where the contestant does not.
type recorder struct {
	who    contestant
	holder *process // nil: none
	parts  []*process
	cancel context.CancelFunc
}

// start runs the contestant, recording into dir, until stop or kill.
func (c contestant) start(ctx context.Context, dir, self string) (r *recorder, err error) {
	ctx, cancel := context.WithCancel(ctx)
	r = &recorder{who: c, cancel: cancel}
	defer func() {
		if err != nil {
			r.kill()
		}
	}()
	if c.taps {
		if r.holder, err = start(ctx, []string{self, "hold", device}, bareReady, nil, nil); err != nil {
			return nil, err
		}
	}
	return r, r.startParts(ctx, c.pipeline(dir))
}

// startParts starts the last process first: the first one is to find it ready.
func (r *recorder) startParts(ctx context.Context, pipeline [][]string) error {
	var out *os.File
	for i := len(pipeline) - 1; i >= 0; i-- {
		var in, next *os.File
		ready := r.who.ready
		if i > 0 {
			var err error
			if in, next, err = os.Pipe(); err != nil {
				return err
			}
			ready = ""
		}
		p, err := start(ctx, pipeline[i], ready, in, out)
		for _, f := range []*os.File{in, out} {
			if f != nil {
				f.Close() // the children have it
			}
		}
		out = next
		if err != nil {
			if next != nil {
				next.Close()
			}
			return err
		}
		r.parts = append([]*process{p}, r.parts...)
	}
	return nil
}

// stop ends the recording, and returns what the first process has printed.
func (r *recorder) stop() (output string, err error) {
	defer r.kill()
	if err := r.parts[0].cmd.Process.Signal(syscall.SIGINT); err != nil {
		return "", r.parts[0].failed(err)
	}
	for i, p := range r.parts {
		text, err := p.end(r.who.lossCode)
		if err != nil {
			return "", err
		}
		if i == 0 {
			output = text
		}
	}
	return output, nil
}

// kill ends whatever still runs.
func (r *recorder) kill() {
	r.cancel()
	for _, p := range r.all() {
		<-p.done
	}
}

func (r *recorder) all() []*process {
	if r.holder != nil {
		return append([]*process{r.holder}, r.parts...)
	}
	return r.parts
}

// cpu is the time of all processes, once they have ended.
func (r *recorder) cpu() (sum time.Duration) {
	for _, p := range r.all() {
		sum += p.cpu()
	}
	return sum
}

func (r *recorder) memory() (sum memory, err error) {
	for _, p := range r.parts {
		m, err := p.memory()
		if err != nil {
			return sum, err
		}
		sum = sum.plus(m)
	}
	return sum, nil
}

func (r *recorder) wakeUps() (sum int64, err error) {
	for _, p := range r.parts {
		n, err := p.wakeUps()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
