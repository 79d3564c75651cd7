package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/wake"
)

// terminal is the controlling terminal of the process: where a user sits who may leave.
// It is held by a descriptor, since its name stops working when it hangs up.
type terminal struct{ file *os.File }

// controllingTerminal returns nil where there is none: a service, cron, setsid(1).
func controllingTerminal() *terminal {
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	return &terminal{f}
}

// hungUp reports whether the terminal has gone, as by the end of an ssh session. That
// sends SIGHUP, too, and has to be told from a SIGHUP that asks for the next file.
func (t *terminal) hungUp() bool {
	if t == nil {
		return false
	}
	hungUp := false
	conn, err := t.file.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { hungUp = wake.HungUp(int(fd)) })
	}
	return err == nil && hungUp
}
