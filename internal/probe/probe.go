// Package probe tries, for tests, what an intruder in one of tunrec's processes would
// try, and compares what came of it with the table in SECURITY.md.
package probe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Attempt is something to try. It takes back what it has done.
type Attempt struct {
	Name string
	Do   func() error
}

// ErrNothing is the error of an attempt on something that the process does not have.
var ErrNothing = errors.New("there is nothing to try it on")

// What came of an attempt.
const (
	Yes     = "yes"
	No      = "no"
	Ends    = "ends it" // the process was killed for it
	Nothing = "–"
)

// Main makes attempts, from the first on that args, one number, says. It prints before
// each, and what came of it.
func Main(attempts []Attempt, out io.Writer, first int) {
	for _, a := range attempts[first:] {
		fmt.Fprintf(out, "%s\t", a.Name)
		fmt.Fprintf(out, "%s\n", outcome(a.Do()))
	}
}

func outcome(err error) string {
	switch {
	case err == nil:
		return Yes
	case errors.Is(err, ErrNothing):
		return Nothing
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return No
	}
	return err.Error()
}

// Observe runs the attempts of a process, which calls Main with the number that start is
// given and prints nothing else to standard output. A process that was killed for one of
// them is started anew for those behind it.
func Observe(start func(first int) *exec.Cmd) (outcomes []Attempted, err error) {
	for {
		cmd := start(len(outcomes))
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		for line := range strings.Lines(string(out)) {
			name, outcome, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if outcome == "" {
				outcome = Ends
			}
			outcomes = append(outcomes, Attempted{name, outcome})
		}
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case err == nil:
			return outcomes, nil
		case !status.Signaled() || status.Signal() != syscall.SIGSYS || !strings.HasSuffix(string(out), "\t"):
			return outcomes, fmt.Errorf("%v: %w\n%s\n%s", cmd.Args, err, out, errs.String())
		}
	}
}

// Attempted is what came of an attempt.
type Attempted struct{ Name, Outcome string }

// Column reads a column of the table in SECURITY.md that has the attempts: those that
// have something in it.
func Column(document, title string) (column []Attempted, err error) {
	text, err := os.ReadFile(document)
	if err != nil {
		return nil, err
	}
	at := -1
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			if at >= 0 {
				return column, nil
			}
		case at < 0:
			for i, cell := range cells {
				if cell == title {
					at = i
				}
			}
		case at < len(cells) && cells[at] != "" && strings.Trim(cells[0], "-:") != "":
			column = append(column, Attempted{cells[0], cells[at]})
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("%s has no table with %s", document, title)
	}
	return column, nil
}

// Differences lists where two lists of outcomes differ.
func Differences(got, want []Attempted) (list []string) {
	outcomes := make(map[string]string)
	for _, w := range want {
		outcomes[w.Name] = w.Outcome
	}
	for _, g := range got {
		if w, ok := outcomes[g.Name]; !ok || w != g.Outcome {
			list = append(list, fmt.Sprintf("%s: %s, and the document says %q", g.Name, g.Outcome, w))
		}
		delete(outcomes, g.Name)
	}
	for name := range outcomes {
		list = append(list, name+" was not tried")
	}
	return list
}

// First reads the number that Observe has given.
func First(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err) // a test's own mistake
	}
	return n
}
