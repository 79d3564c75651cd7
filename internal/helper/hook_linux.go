package helper

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tunrec/tunrec/internal/privilege"
	"github.com/tunrec/tunrec/rotate"
)

const hookKind = "hook"

// hookConfig says what is run, by whom, and where that one writes.
type hookConfig struct {
	Argv  []string
	Limit time.Duration
	User  privilege.User
	Dirs  []string
}

// A request is one datagram: runHook and the file's name, or killHook for the one that
// runs. The answer to runHook is its exit code, 4 bytes little-endian, what it printed
// last, a zero byte, and what was wrong, if anything.
const (
	runHook  = 'r'
	killHook = 'k'

	maxRequest = 1 + 1<<14
	maxAnswer  = 1 << 14
	hookLanes  = 2 // recorder runs so many at once
)

// Hooks is a process that runs hooks: the recorder itself may run nothing.
type Hooks struct {
	*process
	lanes chan *os.File
}

// StartHooks starts it, as u, who writes in dirs and reads everything.
func StartHooks(h rotate.Hook, u privilege.User, dirs []string) (*Hooks, error) {
	var stderr io.Writer = os.Stderr
	if h.Output != nil {
		stderr = h.Output
	}
	p, err := start{
		kind: hookKind, config: hookConfig{h.Argv, h.Limit, u, dirs}, env: h.Env,
		sockets: hookLanes, stderr: stderr,
	}.run()
	if err != nil {
		return nil, err
	}
	hooks := &Hooks{p, make(chan *os.File, hookLanes)}
	for _, s := range p.sockets {
		hooks.lanes <- s
	}
	return hooks, nil
}

// Await waits until the helper is ready. One that cannot be says why on its standard
// error, and ends.
func (h *Hooks) Await() error {
	if n, _ := h.sockets[0].Read(make([]byte, 1)); n != 1 {
		<-h.ended
		return fmt.Errorf("start the helper that runs hooks: %w", h.err)
	}
	return nil
}

// Run does what rotate.Hook.Run does.
func (h *Hooks) Run(ctx context.Context, file string) rotate.HookResult {
	lane := <-h.lanes
	defer func() { h.lanes <- lane }()
	gone := func(err error) rotate.HookResult {
		return rotate.HookResult{ExitCode: -1, Err: fmt.Errorf("hook for %s: the helper that runs hooks has ended: %w", file, err)}
	}
	if _, err := lane.Write(append([]byte{runHook}, file...)); err != nil {
		return gone(err)
	}
	noKill := context.AfterFunc(ctx, func() { _, _ = lane.Write([]byte{killHook}) })
	defer noKill()
	answer := make([]byte, maxAnswer)
	n, err := lane.Read(answer)
	if err != nil {
		return gone(err)
	}
	return parseResult(answer[:n])
}

func formatResult(r rotate.HookResult) []byte {
	text := ""
	if r.Err != nil {
		text = r.Err.Error()
	}
	last := strings.ReplaceAll(r.LastLine, "\x00", "")
	b := binary.LittleEndian.AppendUint32(nil, uint32(int32(r.ExitCode)))
	b = append(b, last+"\x00"+text...)
	return b[:min(len(b), maxAnswer)]
}

// parseResult takes anything: hooks may have got hold of the helper, who runs as the same
// user.
func parseResult(b []byte) rotate.HookResult {
	if len(b) < 4 {
		return rotate.HookResult{ExitCode: -1, Err: errors.New("the helper that runs hooks has ended")}
	}
	last, text, _ := strings.Cut(string(b[4:]), "\x00")
	r := rotate.HookResult{ExitCode: int(int32(binary.LittleEndian.Uint32(b))), LastLine: last}
	if text != "" {
		r.Err = errors.New(text)
	}
	return r
}

// serveHooks is the helper. Hooks that run when the recorder has ended go on, and so does
// the helper, for their time limit.
func serveHooks(config []byte) error {
	var c hookConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("configuration of a helper: %w", err)
	}
	sockets := inherited(hookLanes)
	if err := c.confine(); err != nil {
		return err
	}
	if _, err := sockets[0].Write([]byte{1}); err != nil { // ready
		return err
	}
	// A plain writer, so that no hook holds standard error itself: what one leaves
	// running could hold up the end.
	h := rotate.Hook{Argv: c.Argv, Limit: c.Limit, Output: struct{ io.Writer }{os.Stderr}}
	var lanes sync.WaitGroup
	for _, socket := range sockets {
		lanes.Go(func() { serveLane(h, socket) })
	}
	lanes.Wait()
	return nil
}

// confine leaves to it, and to the hooks, what the user may, but files are made in Dirs
// alone.
func (c hookConfig) confine() error {
	_, _, err := privilege.Drop(privilege.Config{User: c.User, Dirs: c.Dirs, Read: []string{"/"}})
	return err
}

// serveLane runs one hook at a time.
func serveLane(h rotate.Hook, socket *os.File) {
	requests := make(chan []byte)
	go func() {
		defer close(requests)
		for {
			b := make([]byte, maxRequest)
			n, err := socket.Read(b)
			if n == 0 || err != nil {
				return
			}
			requests <- b[:n]
		}
	}()
	for r := range requests {
		if r[0] != runHook {
			continue // it has ended before it was to be killed
		}
		ctx, cancel := context.WithCancel(context.Background())
		result := make(chan rotate.HookResult, 1)
		go func() { result <- h.Run(ctx, string(r[1:])) }()
		var done rotate.HookResult
		for running := true; running; {
			select {
			case done = <-result:
				running = false
			case _, ok := <-requests:
				if !ok {
					<-result
					cancel()
					return
				}
				cancel()
			}
		}
		cancel()
		_, _ = socket.Write(formatResult(done)) // fails where the recorder has ended
	}
}
