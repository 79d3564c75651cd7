package main

import "github.com/dustin/go-humanize"

const (
	programBytes  = 32 << 20 // of memory, beside the slabs
	leastTasks    = 24
	leastFiles    = 64
	smallFileSize = 1 << 30
	noFileSize    = 1 << 20
)

// rlimits judges the limits on open files and on the size of one (setrlimit(2)).
func rlimits(under string, files, size uint64) finding {
	switch {
	case files < leastFiles:
		return wrong("ulimit -n 1024, or LimitNOFILE=1024 in the unit", "%s: %d open files are allowed, %d are needed", under, files, leastFiles)
	case size < noFileSize:
		return wrong("ulimit -f unlimited, or LimitFSIZE=infinity in the unit", "%s: a file may only have %s", under, humanize.IBytes(size))
	case size < smallFileSize:
		return note("ulimit -f unlimited, or -b filesize below it", "%s: a file may only have %s", under, humanize.IBytes(size))
	}
	return ok("%s: %d open files, files of any size", under, files)
}
