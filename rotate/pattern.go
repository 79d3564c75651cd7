package rotate

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// directives are those of strftime(3) that have the same number of digits
// whatever the time, but for %s: their layouts and what they match.
var directives = map[byte]struct{ layout, match string }{
	'Y': {"2006", `\d{4}`},
	'y': {"06", `\d{2}`},
	'm': {"01", `\d{2}`},
	'd': {"02", `\d{2}`},
	'j': {"002", `\d{3}`},
	'H': {"15", `\d{2}`},
	'M': {"04", `\d{2}`},
	'S': {"05", `\d{2}`},
	'z': {"-0700", `[+-]\d{4}`},
	'F': {"2006-01-02", `\d{4}-\d{2}-\d{2}`},
	'T': {"15:04:05", `\d{2}:\d{2}:\d{2}`},
	's': {"", `\d+`}, // seconds since 1970: no layout
}

const knownDirectives = "%Y %y %m %d %j %H %M %S %z %F %T %s and %%"

// token is a directive, or (directive 0) literal text.
type token struct {
	directive byte
	literal   string
}

// pattern names files by a strftime pattern. Where a name is taken, _2, _3
// and so on is put after it.
type pattern struct {
	tokens []token
	suffix string
	levels []*regexp.Regexp // one for each folder, the last for the file
}

func parsePattern(text, suffix string) (*pattern, error) {
	if !utf8.ValidString(text + suffix) { // it becomes a regular expression
		return nil, fmt.Errorf("pattern %q: has to be UTF-8", text)
	}
	tokens, err := parseTokens(text)
	if err != nil {
		return nil, err
	}
	p := &pattern{tokens: tokens, suffix: suffix}
	elems := strings.Split(text, "/")
	for i, elem := range elems {
		if elem == "" || elem == "." || elem == ".." {
			return nil, fmt.Errorf("pattern %s: each part between slashes has to be a name", text)
		}
		after := ""
		if i == len(elems)-1 {
			after = `(_\d+)?` + regexp.QuoteMeta(suffix)
		}
		tokens, err := parseTokens(elem)
		if err != nil {
			return nil, err
		}
		p.levels = append(p.levels, matcher(tokens, after))
	}
	return p, nil
}

func parseTokens(text string) ([]token, error) {
	var tokens []token
	for text != "" {
		literal, rest, found := strings.Cut(text, "%")
		tokens = append(tokens, token{literal: literal})
		if !found {
			break
		}
		if rest == "" {
			return nil, fmt.Errorf("pattern ends with a single %%: known are %s", knownDirectives)
		}
		d := rest[0]
		switch _, known := directives[d]; {
		case d == '%':
			tokens = append(tokens, token{literal: "%"})
		case known:
			tokens = append(tokens, token{directive: d})
		default:
			return nil, fmt.Errorf("pattern has %%%c, which is not known: known are %s", d, knownDirectives)
		}
		text = rest[1:]
	}
	return tokens, nil
}

func matcher(tokens []token, after string) *regexp.Regexp {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(regexp.QuoteMeta(t.literal))
		b.WriteString(directives[t.directive].match)
	}
	return regexp.MustCompile("^" + b.String() + after + "$")
}

// render is strftime(3).
func (p *pattern) render(t time.Time) string {
	var b strings.Builder
	for _, tok := range p.tokens {
		switch tok.directive {
		case 0:
			b.WriteString(tok.literal)
		case 's':
			b.WriteString(strconv.FormatInt(t.Unix(), 10))
		default:
			b.WriteString(t.Format(directives[tok.directive].layout))
		}
	}
	return b.String()
}

func (p *pattern) name(t time.Time, _ uint64, try int) string {
	name := p.render(t)
	if try > 0 {
		name += "_" + strconv.Itoa(try+1)
	}
	return name + p.suffix
}

func (p *pattern) folders() int { return len(p.levels) - 1 }

func (p *pattern) matches(depth int, elem string) bool {
	return p.levels[depth].MatchString(elem)
}

func (p *pattern) number(string) uint64 { return 0 }

func (p *pattern) latest([]string) uint64 { return 0 }

// tellsApart refuses a pattern that names two successive cuts, every apart,
// alike. It looks at as many cuts as there are days in a year, from the begin
// of 1970, where all multiples of all intervals meet.
func (p *pattern) tellsApart(what string, every time.Duration) error {
	t := time.Unix(0, 0).UTC()
	for range 366 {
		next := t.Add(every)
		if p.render(t) == p.render(next) {
			return fmt.Errorf("pattern names files that begin %s apart (%s) alike, such as %s: "+
				"put smaller or larger units of time into it",
				every, what, path.Base(p.render(t))+p.suffix)
		}
		t = next
	}
	return nil
}
