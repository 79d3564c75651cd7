package tun

import "fmt"

// darwinAtLeast tells whether a kern.osrelease, such as "24.6.0", is major.minor or later.
func darwinAtLeast(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}
