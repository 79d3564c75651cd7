package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// bench is one run.
type bench struct {
	config
	dir         string // for captures; removed at the end
	self        string // this program
	tunrec      string // the tunrec that it has built
	contestants []contestant
	busy        string // load average of the machine before anything is measured
}

// results are the rows of all tables.
type results struct {
	recordings, clocks []row[recording]
	quiets             []row[quiet]
	ceilings           []row[ceiling]
	sizes              []row[sizes]
	replays            []row[compression]
}

func (r results) empty() bool {
	return len(r.recordings)+len(r.clocks)+len(r.quiets)+len(r.ceilings)+len(r.sizes)+len(r.replays) == 0
}

// run measures everything that c asks for, prints the tables, and puts them
// into the files that c names.
func run(ctx context.Context, c config, w io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root, for a network namespace and TUN devices: sudo go run ./bench")
	}
	dir, err := os.MkdirTemp("", "tunrec-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{config: c, dir: dir, busy: loadAverage()}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.tunrec, err = build(ctx, dir); err != nil {
		return err
	}
	b.contestants = append(ours(b.self, b.tunrec), peers(b.self)...)

	var r results
	if err := inNamespace(func() (err error) { r, err = b.measureAll(ctx); return err }); err != nil {
		return err
	}
	if r.empty() {
		return fmt.Errorf("-only %v matches no row", c.only)
	}
	return b.publish(ctx, w, r)
}

func (b *bench) measureAll(ctx context.Context) (r results, err error) {
	if r.recordings, err = measure(ctx, b, b.rounds, b.recordings()); err != nil {
		return r, err
	}
	if r.clocks, err = measure(ctx, b, b.rounds, b.clocks()); err != nil {
		return r, err
	}
	// Once: these are many measurements already.
	if r.quiets, err = measure(ctx, b, 1, b.quiets()); err != nil {
		return r, err
	}
	if r.ceilings, err = measure(ctx, b, 1, b.ceilings()); err != nil {
		return r, err
	}
	if r.sizes, err = measure(ctx, b, b.rounds, b.sizes()); err != nil {
		return r, err
	}
	r.replays, err = measure(ctx, b, b.rounds, b.replays())
	return r, err
}

// build makes the tunrec of this module.
func build(ctx context.Context, dir string) (string, error) {
	name := filepath.Join(dir, "tunrec")
	// VCS stamping would fail where root does not own the checkout.
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", name, "github.com/tunrec/tunrec/cmd/tunrec")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building tunrec: %w: %s", err, out)
	}
	return name, nil
}

// inNamespace runs f on a thread in a network namespace of its own. Both end
// with f.
func inNamespace(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("making a network namespace: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}
