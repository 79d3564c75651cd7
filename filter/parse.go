package filter

import (
	"fmt"
	"maps"
	"slices"
)

const (
	maxExpression = 1 << 16 // bytes of text
	maxDepth      = 200     // parentheses and negations within each other
)

type parser struct {
	text   string
	opts   Options
	tokens []token
	at     int
	depth  int
}

// operand is what stands between "and"s and "or"s.
type operand struct {
	e expr
	// quals are those that a bare name or number after this operand has:
	// "81" in "port 80 or 81" is a port.
	quals *qualifiers
	// bare is set where the operand has no qualifiers of its own.
	bare bool
}

func parse(text string, o Options) (expr, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("filter: the expression has %d bytes, more than %d", len(text), maxExpression)
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{text: text, opts: o, tokens: tokens}
	if p.peek().kind == kindEnd {
		return everything{}, nil
	}
	all, err := p.expression(nil, false)
	if err == nil && p.peek().kind != kindEnd {
		err = p.unexpected(`"and", "or" or the end`)
	}
	if err != nil {
		return nil, err
	}
	return all.e, nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != kindEnd {
		p.at++
	}
	return t
}

// accept takes the next token if it is one of these words or symbols.
func (p *parser) accept(texts ...string) bool {
	if slices.ContainsFunc(texts, p.peek().is) {
		p.at++
		return true
	}
	return false
}

func (p *parser) errorAt(t token, hint, format string, args ...any) *SyntaxError {
	return &SyntaxError{Expr: p.text, Pos: t.pos, Len: t.len, Msg: fmt.Sprintf(format, args...), Hint: hint}
}

// unexpected is the error that the next token is not what it should be.
func (p *parser) unexpected(expected string) *SyntaxError {
	t := p.peek()
	hint := ""
	if t.kind == kindName {
		hint = didYouMean(t.text, slices.Sorted(maps.Keys(keywords)), slices.Sorted(maps.Keys(constants)))
	}
	return p.errorAt(t, hint, "expected %s", expected)
}

// expression reads operands joined by "and" and "or", which have equal
// precedence. Names without qualifiers take those given. Where the first
// operand is bare, or bareOnly is set, all must be bare: (80 or 81).
func (p *parser) expression(quals *qualifiers, bareOnly bool) (operand, *SyntaxError) {
	all, err := p.operand(quals, bareOnly)
	for err == nil {
		and := p.accept("and", "&&")
		if !and && !p.accept("or", "||") {
			return all, nil
		}
		var right operand
		right, err = p.operand(all.quals, bareOnly || all.bare)
		if and {
			all.e = andExpr{all.e, right.e}
		} else {
			all.e = orExpr{all.e, right.e}
		}
		all.quals = right.quals
	}
	return all, err
}

func (p *parser) operand(quals *qualifiers, bareOnly bool) (operand, *SyntaxError) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return operand{}, p.errorAt(p.peek(), "", "more than %d parentheses and negations within each other", maxDepth)
	}
	if p.accept("not", "!") {
		inner, err := p.operand(quals, bareOnly)
		inner.e = notExpr{inner.e}
		return inner, err
	}
	if !bareOnly {
		if e, found, err := p.relation(); found || err != nil {
			return operand{e: e}, err
		}
	}
	switch t := p.peek(); {
	case p.accept("("):
		inner, err := p.expression(quals, bareOnly)
		if err == nil && !p.accept(")") {
			err = p.unexpected(`")", "and" or "or"`)
		}
		return operand{inner.e, quals, inner.bare}, err
	case t.kind == kindWord && bareOnly:
		return operand{}, p.errorAt(t, "escape it to use it as a name: \\"+t.text,
			"expected a name, number or address, which %q is not", t.text)
	case t.kind == kindWord:
		return p.primitive()
	case t.kind == kindSymbol || t.kind == kindEnd:
		return operand{}, p.unexpected("a test like \"tcp\", \"host 10.1.2.3\" or \"port 80\"")
	case quals == nil:
		return operand{}, p.unqualified(p.peek())
	}
	e, err := p.qualified(*quals, p.next())
	return operand{e, quals, true}, err
}

// unqualified is the error for a name, number or address that nothing is said
// about.
func (p *parser) unqualified(t token) *SyntaxError {
	switch t.kind {
	case kindName:
		return p.unexpected("a test like \"tcp\", \"host 10.1.2.3\" or \"port 80\"")
	case kindNumber:
		return p.errorAt(t, "write port "+t.text+", or the comparison in full", "a number needs to be told what it is")
	}
	return p.errorAt(t, "write host "+t.text+" or net "+t.text, "an address needs to be told what it is")
}
