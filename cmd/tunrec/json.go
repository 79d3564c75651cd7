package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// jsonLine is v as a line of JSON, in which strangers' names and comments cannot
// control a terminal: what is not printable is written \u009b. encoding/json leaves
// DEL, C1 and bidirectional controls as they are. What it writes is never one of them
// outside of a string.
func jsonLine(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	text := string(b)
	if isHarmless(text) {
		return text + "\n", nil
	}
	var line strings.Builder
	for _, r := range text {
		switch high, low := utf16.EncodeRune(r); {
		case !notPrintable(r):
			line.WriteRune(r)
		case r > 0xffff: // RFC 8259 §7
			fmt.Fprintf(&line, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&line, `\u%04x`, r)
		}
	}
	return line.String() + "\n", nil
}

func printJSON(w io.Writer, v any) error {
	line, err := jsonLine(v)
	if err == nil {
		_, err = io.WriteString(w, line)
	}
	return err
}
