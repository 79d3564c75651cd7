package main

import "testing"

// TestReading reads back a small capture, by every command.
func TestReading(t *testing.T) {
	if err := reading("20MB"); err != nil {
		t.Fatal(err)
	}
}
