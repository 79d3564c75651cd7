package filter

import "slices"

// relation reads a comparison of numbers, if there is one. Whether a
// parenthesis opens one shows only behind it, so where none follows, the
// parser goes back.
func (p *parser) relation() (expr, bool, *SyntaxError) {
	start := p.at
	certain := p.peek().is("-") || p.peek().is("len") || p.opensLoad()
	if t := p.peek(); !certain && t.kind != kindNumber && !t.is("(") {
		return nil, false, nil
	}
	l, err := p.arith(0)
	op := p.peek().text
	if err != nil || !p.accept("=", "==", "!=", "<", "<=", ">", ">=") {
		if certain && err == nil {
			err = p.unexpected(`a comparison: =, !=, <, <=, > or >=`)
		}
		if !certain {
			p.at, err = start, nil
		}
		return nil, false, err
	}
	r, err := p.arith(0)
	if op == "==" {
		op = "="
	}
	return relation{op, l, r}, true, err
}

// opensLoad reports whether proto[ comes next.
func (p *parser) opensLoad() bool {
	t := p.peek()
	return t.kind == kindWord && protocols[t.text] != nil && p.tokens[p.at+1].is("[")
}

// precedence of the binary operators. "%" and "^" have none in libpcap's
// grammar: whatever stands left of them, they bind to the nearest number, and
// whatever follows them belongs to their right side.
var precedence = map[string]int{
	"|": 1, "&": 2, "<<": 3, ">>": 3, "+": 4, "-": 4, "*": 5, "/": 5,
	"%": 0, "^": 0,
}

const negation = 6

// arith reads an arithmetic expression of operators that bind at least as
// tightly as lowest.
func (p *parser) arith(lowest int) (arith, *SyntaxError) {
	l, err := p.arithOperand()
	for err == nil {
		op := p.peek()
		level, known := precedence[op.text]
		if op.kind != kindSymbol || !known || level != 0 && level < lowest {
			break
		}
		p.next()
		right := level + 1
		if level == 0 {
			right = 0
		}
		var r arith
		r, err = p.arith(right)
		l = binaryArith{op.text, l, r}
	}
	return l, err
}

func (p *parser) arithOperand() (arith, *SyntaxError) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, p.errorAt(p.peek(), "", "more than %d parentheses and negations within each other", maxDepth)
	}
	switch t := p.peek(); {
	case t.kind == kindNumber:
		p.next()
		return numberArith{t.num}, nil
	case p.accept("len"):
		return lengthArith{}, nil
	case p.accept("-"):
		a, err := p.arith(negation)
		return negArith{a}, err
	case p.accept("("):
		a, err := p.arith(0)
		if err == nil && !p.accept(")") {
			err = p.unexpected(`")" or an operator`)
		}
		return a, err
	case p.opensLoad():
		return p.load()
	case t.kind == kindName && slices.ContainsFunc([]byte(t.text), func(c byte) bool { return c == '-' }):
		return nil, p.errorAt(t, "put spaces around the minus sign", "%q is read as one word", t.text)
	}
	return nil, p.unexpected("a number, len, or bytes like ip[0]")
}

// load reads proto[index] or proto[index:size].
func (p *parser) load() (arith, *SyntaxError) {
	word := p.next()
	l := loadArith{proto: protocols[word.text], size: 1}
	if !l.proto.bytes {
		return nil, p.errorAt(word, "", "the bytes of %q cannot be looked at", word.text)
	}
	p.next()
	var err *SyntaxError
	if l.index, err = p.arith(0); err != nil {
		return nil, err
	}
	if p.accept(":") {
		size := p.next()
		if size.kind != kindNumber || size.num != 1 && size.num != 2 && size.num != 4 {
			return nil, p.errorAt(size, "", "the number of bytes must be 1, 2 or 4")
		}
		l.size = size.num
	}
	if !p.accept("]") {
		return nil, p.unexpected(`"]"`)
	}
	return l, nil
}
