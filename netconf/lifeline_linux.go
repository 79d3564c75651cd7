package netconf

import (
	"fmt"
	"os"
	"strings"
)

// lookEnviron returns what an environment variable of this process, or else of
// the nearest process above it, is set to.
func lookEnviron(name string) string {
	if v, ok := os.LookupEnv(name); ok {
		return v
	}
	for pid := os.Getppid(); pid > 0; pid = parentOf(pid) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		for entry := range strings.SplitSeq(string(b), "\x00") {
			if v, ok := strings.CutPrefix(entry, name+"="); ok {
				return v
			}
		}
	}
	return ""
}

// parentOf is 0 at the top, and where it cannot be told.
func parentOf(pid int) (parent int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// "PID (COMMAND) STATE PPID": the command can have parentheses of its own.
	after := string(b[strings.LastIndexByte(string(b), ')')+1:])
	var state string
	_, _ = fmt.Sscan(after, &state, &parent)
	return parent
}
