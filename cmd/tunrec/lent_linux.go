package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// isLent reports whether this process has more rights than who called it: the kernel
// says so beside the arguments, as to the C library (getauxval(3), AT_SECURE). Nothing
// that the caller can set changes that.
func isLent() bool {
	const atSecure = 23
	vector, err := unix.Auxv()
	if err != nil {
		return os.Geteuid() != 0 // it cannot be told: no harm in asking for root
	}
	for _, entry := range vector {
		if entry[0] == atSecure {
			return entry[1] != 0
		}
	}
	return false
}

// lentTooMuch says that the file lends more than a recording takes, with which files
// would be written where the caller may not write.
func lentTooMuch() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	has := uint64(caps[1].Permitted)<<32 | uint64(caps[0].Permitted)
	if os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid() {
		return errors.New("the program file has a set-user-ID or set-group-ID bit: take it away")
	}
	if more := has &^ (1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_BPF); more != 0 {
		return fmt.Errorf("the program file has capabilities beside cap_net_admin and cap_bpf (%#x): take them away", more)
	}
	return nil
}
