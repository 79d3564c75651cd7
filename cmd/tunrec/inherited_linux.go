package main

import (
	"os"
	"strconv"
	"strings"
)

// hasLock reports whether a lock is held by way of a descriptor (proc(5), fdinfo).
func hasLock(fd int) bool {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	return err == nil && strings.Contains(string(b), "\nlock:")
}
