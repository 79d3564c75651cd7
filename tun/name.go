package tun

import (
	"strconv"
	"strings"
)

// ValidName tells whether a new device can have that name on this system.
// Linux: 1 to 15 bytes without white space, '/', ':' and '%', and none of
// ".", "..", "all" and "default". macOS: utun and a number up to 32766.
func ValidName(name string) error { return validName(name) }

// maxLinuxName is IFNAMSIZ-1 (linux/if.h).
const maxLinuxName = 15

// linuxName follows dev_valid_name in net/core/dev.c, and refuses besides what
// the kernel would take for a pattern ("tun%d") and the two names that stand
// for no device in /proc/sys/net/ipv4/conf.
func linuxName(name string) error {
	if len(name) == 0 || len(name) > maxLinuxName {
		return invalid("device name %q has %d bytes: 1 to %d are possible", name, len(name), maxLinuxName)
	}
	switch name {
	case ".", "..", "all", "default":
		return invalid("device name %q has a meaning of its own: choose another", name)
	}
	// 0xa0 is a space to the kernel, also inside a UTF-8 sequence.
	bad := func(c byte) bool { return c <= ' ' || c == 0x7f || c == 0xa0 || strings.IndexByte("/:%", c) >= 0 }
	for i := range len(name) {
		if bad(name[i]) {
			return invalid("device name %q: %q is not possible in a name", name, name[i:i+1])
		}
	}
	return nil
}

// maxUtun is the largest N of utunN that leaves room for unit N+1 in the short
// if_unit of struct ifnet.
const maxUtun = 1<<15 - 2

func utunName(name string) error {
	digits, ok := strings.CutPrefix(name, "utun")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n > maxUtun || digits != strconv.FormatUint(n, 10) {
		return invalid("device name %q: macOS names them utun0 to utun%d", name, maxUtun)
	}
	return nil
}
