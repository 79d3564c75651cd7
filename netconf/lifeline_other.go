//go:build !linux

package netconf

import "os"

// lookEnviron cannot look into other processes here.
func lookEnviron(name string) string { return os.Getenv(name) }
