package rotate

import (
	"math"

	"golang.org/x/sys/unix"
)

// closeOnExec keeps from children what this process was itself started with,
// or what a library has opened carelessly (close_range(2), Linux 5.11).
func closeOnExec() error {
	return unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}
