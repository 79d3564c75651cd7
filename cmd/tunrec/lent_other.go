//go:build !linux

package main

import (
	"errors"
	"os"
)

// isLent: files have no capabilities here, but may have a set-user-ID bit.
func isLent() bool { return os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid() }

func lentTooMuch() error {
	return errors.New("the program file has a set-user-ID or set-group-ID bit: take it away")
}
