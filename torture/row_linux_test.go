package torture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// row is one line of the matrix.
type row struct {
	name            string
	mu              sync.Mutex
	tries, survived int
	sent, lost      uint64 // packets, and those that were told as lost
	unexplained     int64
	refused         int
	notes           []string                 // what was measured
	times           map[string]time.Duration // behind the notes that are the worst of a kind
}

// matrix runs a row: tries with a rig of their own each. A row with 0 tries in this
// mode is not part of it.
func matrix(t *testing.T, name string, short, many int, once func(*rig)) {
	t.Helper()
	runRow(t, name, short, many, true, once)
}

// alone is matrix for a row that needs the machine for itself.
func alone(t *testing.T, name string, short, many int, once func(*rig)) {
	t.Helper()
	runRow(t, name, short, many, false, once)
}

func runRow(t *testing.T, name string, short, many int, beside bool, once func(*rig)) {
	t.Helper()
	table.known(t.Name() + "/" + name)
	tries := short
	if *long {
		tries = many
	}
	if tries == 0 {
		return
	}
	t.Run(name, func(t *testing.T) {
		if beside {
			t.Parallel()
		}
		r := &row{name: t.Name()}
		defer table.add(r)
		for i := range tries {
			r.attempt(t, i, once)
		}
	})
}

// giveUp ends a try: the next one follows.
type giveUp struct{}

// attempt runs one try, in a thread of its own that ends with it, and with it the
// namespaces and processes that are bound to it.
func (r *row) attempt(t *testing.T, i int, once func(*rig)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		g := newRig(t, r, i)
		defer g.close()
		defer func() {
			if p := recover(); p != nil && p != any(giveUp{}) {
				g.close()
				panic(p)
			}
		}()
		g.prepare()
		once(g)
	}()
	<-done
}

func (r *row) count(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// results are the rows that have been run.
type results struct {
	mu    sync.Mutex
	rows  []*row
	names []string // of all rows, also those that have not been run
}

var table results

func (t *results) add(r *row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

func (t *results) known(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.names = append(t.names, title(name))
}

// described checks that a document says of every row what it does.
func (t *results) described(document string) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	for _, name := range t.names {
		if !strings.Contains(string(text), "\n| "+name+" | ") {
			err = errors.Join(err, fmt.Errorf("%s has no line that says what the row %s does", document, name))
		}
	}
	return err
}

// title is a row's name in the table: Kill/zstd.
func title(name string) string { return strings.TrimPrefix(name, "Test") }

// print writes the matrix as a table of Markdown.
func (t *results) print(w io.Writer) {
	slices.SortFunc(t.rows, func(a, b *row) int {
		return slices.Index(t.names, title(a.name)) - slices.Index(t.names, title(b.name))
	})
	fmt.Fprintln(w, "| row | tries | survived | packets sent | told as lost | unexplained | files refused | measured | this row alone, in torture/ |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |")
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %s | `go test%s -run '%s'` |\n", title(r.name),
			r.tries, r.survived, r.sent, r.lost, r.unexplained, r.refused, strings.Join(r.notes, "; "), mode(), pattern(r.name))
	}
}

// mode is the flag that the rows were run with.
func mode() string {
	if *long {
		return " -long"
	}
	return ""
}

// pattern is what -run needs for exactly this row.
func pattern(name string) string {
	g, rest, _ := strings.Cut(name, "/")
	return g + "/^" + rest + "$"
}
