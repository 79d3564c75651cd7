package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// namedDescriptor is /dev/fd/3 or /proc/self/fd/3 among the arguments, as a shell
// writes <(COMMAND).
var namedDescriptor = regexp.MustCompile(`/fd/(\d+)`)

// closeInherited closes what who started tunrec has left open by mistake: nothing of a
// recording, nor a hook, has a use for it. What the arguments name stays, and so does
// a lock, as that of flock(1): it is held for as long as this process lasts.
//
// Inherited are those that exec did not close: all that Go opens has that mark.
func closeInherited(args []string) {
	var keep []string
	for _, a := range args {
		for _, m := range namedDescriptor.FindAllStringSubmatch(a, -1) {
			keep = append(keep, m[1])
		}
	}
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return // no /proc: who made such a place has chosen what to leave open
	}
	for _, e := range open {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 || slices.Contains(keep, e.Name()) {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 && !hasLock(fd) {
			unix.Close(fd)
		}
	}
}
