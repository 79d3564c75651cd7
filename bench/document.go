package main

import (
	"fmt"
	"os"
	"strings"
)

// What stands between the markers in a document belongs to the bench, the rest
// to its writers.
const (
	documentBegin = "<!-- measured: begin -->\n"
	documentEnd   = "<!-- measured: end -->\n"
)

// updateDocument puts text between the markers of the file of that name.
func updateDocument(name, text string) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	updated, err := betweenMarkers(string(old), text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, []byte(updated), 0o644)
}

func betweenMarkers(document, text string) (string, error) {
	before, rest, found := strings.Cut(document, documentBegin)
	_, after, ended := strings.Cut(rest, documentEnd)
	if !found || !ended {
		return "", fmt.Errorf("no line %q with a line %q after it",
			strings.TrimSpace(documentBegin), strings.TrimSpace(documentEnd))
	}
	return before + documentBegin + "\n" + text + "\n" + documentEnd + after, nil
}
