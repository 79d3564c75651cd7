package filter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

type kind uint8

const (
	kindEnd    kind = iota
	kindWord        // a word of the language: tcp, host, and
	kindName        // any other word: http, example.org; or an escaped one: \tcp
	kindNumber      // 80, 0x50, 0120, and named constants: tcp-syn
	kindDotted      // 10.1, 10.1.2, 10.1.2.3
	kindIPv6        // 2001:db8::1
	kindSymbol      // ( ) [ ] and operators
)

type token struct {
	kind kind
	text string // without the backslash of an escaped name
	pos  int
	len  int
	num  uint32     // kindNumber
	addr netip.Addr // kindIPv6
}

// is reports whether the token is this word or symbol.
func (t token) is(text string) bool {
	return (t.kind == kindWord || t.kind == kindSymbol) && t.text == text
}

// symbols, longer ones before their beginnings.
var symbols = []string{
	"&&", "||", "<<", ">>", "<=", ">=", "==", "!=",
	"(", ")", "[", "]", ":", "/", "!", "<", ">", "=", "&", "|", "+", "-", "*", "%", "^",
}

// lex cuts an expression into tokens. The last one is of kindEnd.
func lex(text string) ([]token, *SyntaxError) {
	tokens := make([]token, 0, 2+len(text)/4)
	for pos := 0; ; {
		for pos < len(text) && strings.IndexByte(" \t\r\n", text[pos]) >= 0 {
			pos++
		}
		if pos == len(text) {
			return append(tokens, token{kind: kindEnd, pos: pos}), nil
		}
		t, err := lexOne(text[pos:])
		t.pos = pos
		if err != nil {
			return nil, &SyntaxError{Expr: text, Pos: pos, Len: t.len, Msg: err.Error()}
		}
		tokens = append(tokens, t)
		pos += t.len
	}
}

// lexOne reads the token at the beginning of s. On an error the token's length
// says how much of s is wrong.
func lexOne(s string) (token, error) {
	address := spanOf(s, isAddressByte)
	if strings.Count(address, ":") >= 2 {
		a, err := netip.ParseAddr(address)
		t := token{kind: kindIPv6, text: address, len: len(address), addr: a}
		if err != nil {
			return t, fmt.Errorf("%q is no IPv6 address; Ethernet addresses do not exist on raw IP", address)
		}
		return t, nil
	}
	if isAlnum(s[0]) {
		// A word may hold, but not end in, a hyphen or underscore.
		return classify(strings.TrimRight(spanOf(s, isWordByte), "-_"))
	}
	if s[0] == '\\' {
		if name := spanOf(s[1:], isEscapedByte); name != "" {
			return token{kind: kindName, text: name, len: 1 + len(name)}, nil
		}
	}
	for _, symbol := range symbols {
		if strings.HasPrefix(s, symbol) {
			return token{kind: kindSymbol, text: symbol, len: len(symbol)}, nil
		}
	}
	first := []rune(s)[0]
	return token{len: min(len(s), len(string(first)))}, fmt.Errorf("unexpected character %q", first)
}

// classify says what a word is.
func classify(word string) (token, error) {
	t := token{kind: kindName, text: word, len: len(word)}
	if value, ok := constants[word]; ok {
		t.kind, t.num = kindNumber, value
		return t, nil
	}
	if meaning, ok := keywords[word]; ok {
		t.kind, t.text = kindWord, meaning
		return t, nil
	}
	if !isDigit(word[0]) {
		return t, nil
	}
	parts := strings.Split(word, ".")
	for _, part := range parts {
		if !isNumeral(part) {
			return t, nil
		}
	}
	switch len(parts) {
	case 1:
		var err error
		t.kind = kindNumber
		t.num, err = number(word)
		return t, err
	case 2, 3, 4:
		t.kind = kindDotted
	}
	return t, nil
}

// number reads a number in C's notation.
func number(s string) (uint32, error) {
	digits, base := s, 10
	switch {
	case len(s) > 1 && (s[1] == 'x' || s[1] == 'X'):
		digits, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		digits, base = s[1:], 8
		if strings.ContainsAny(digits, "89") {
			return 0, fmt.Errorf("number %s begins with 0, so it is octal, and holds a digit above 7", s)
		}
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return 0, fmt.Errorf("number %s is greater than 4294967295", s)
	}
	return uint32(n), nil
}

// isNumeral reports whether s has the form of a decimal or 0x number.
func isNumeral(s string) bool {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		return spanOf(s[2:], isHex) == s[2:]
	}
	return s != "" && spanOf(s, isDigit) == s
}

// spanOf returns the longest beginning of s whose bytes all belong.
func spanOf(s string, belongs func(byte) bool) string {
	for i := range len(s) {
		if !belongs(s[i]) {
			return s[:i]
		}
	}
	return s
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isWordByte(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c == '.' }

func isAddressByte(c byte) bool { return isHex(c) || c == ':' || c == '.' }

func isEscapedByte(c byte) bool { return strings.IndexByte(" !()\n\t\r", c) < 0 }
