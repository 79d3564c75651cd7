package rotate

import (
	"os"
	"strconv"
	"syscall"
)

// closeOnExec keeps from children what this process was itself started with,
// or what a library has opened carelessly.
func closeOnExec() error {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return err
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}
