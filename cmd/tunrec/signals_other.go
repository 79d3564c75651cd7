//go:build !(darwin || freebsd || netbsd || openbsd || dragonfly)

package main

import (
	"os"
	"syscall"
)

// infoSignals: there is no SIGINFO here, so SIGUSR1 once more.
var infoSignals = []os.Signal{syscall.SIGUSR1}
