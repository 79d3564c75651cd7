//go:build cgo

package privilege

// cgoCalls are those of the C library and the race detector, which are in no binary that
// is given away.
var cgoCalls = []string{"mprotect", "mremap", "set_robust_list", "rseq", "prlimit64", "brk"}
