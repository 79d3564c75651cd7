//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package main

import (
	"os"
	"syscall"
)

// infoSignals are Ctrl-T's SIGINFO.
var infoSignals = []os.Signal{syscall.SIGINFO}
