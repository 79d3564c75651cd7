package filter

import (
	"fmt"
	"strconv"
	"strings"
)

// SyntaxError says what is wrong with an expression, and where.
type SyntaxError struct {
	Expr string // the expression
	Pos  int    // byte offset of the part that is wrong
	Len  int    // its length in bytes; 0 at the end of the expression
	Msg  string // what is wrong
	Hint string // what to write instead; may be empty
}

// Error returns one line: what is wrong, at what, and what to do.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	b.WriteString("filter: ")
	b.WriteString(e.Msg)
	switch word := strconv.Quote(e.Expr[e.Pos : e.Pos+e.Len]); {
	case e.Len == 0:
		b.WriteString(" at the end of the expression")
	case e.Len < len(e.Expr) && !strings.Contains(e.Msg, word):
		b.WriteString(" at " + word)
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Caret returns two lines: the expression, and below it a mark under the part
// that is wrong. What is not printable is shown as spaces.
func (e *SyntaxError) Caret() string {
	shown := strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, e.Expr)
	before := len([]rune(e.Expr[:e.Pos]))
	width := max(1, len([]rune(e.Expr[e.Pos:e.Pos+e.Len])))
	return shown + "\n" + strings.Repeat(" ", before) + strings.Repeat("^", width)
}

// whole makes an error about the expression as a whole.
func whole(text string, err error) *SyntaxError {
	return &SyntaxError{Expr: text, Len: len(text), Msg: err.Error()}
}

// didYouMean proposes the word of words that is nearest to a misspelt one, or
// returns "".
func didYouMean(misspelt string, words ...[]string) string {
	misspelt = strings.ToLower(misspelt)
	best, bestDistance := "", 3
	if len(misspelt) < 5 {
		bestDistance = 2 // two changes make any short word out of any other
	}
	for _, list := range words {
		for _, w := range list {
			if d := distance(misspelt, w, bestDistance); d < bestDistance {
				best, bestDistance = w, d
			}
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between a and b. Where it must be at least limit, it may return
// limit without counting.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	// Rows of the table of distances between prefixes: two back, one back,
	// and the one being filled.
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
