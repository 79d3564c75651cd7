// Package rotate is about the files of a recording: what they are called, how
// they are made, which are kept, and what is run when one is complete.
//
//	file.go        one file, and New for a recording that has just one
//	newborn.go     a file before it has its name
//	policy.go      what -b and -a say; value.go reads numbers and units
//	interval.go    intervals of the wall clock
//	name.go        numbered names; pattern.go: strftime patterns
//	series.go      the series and what is known of its files
//	next.go        makes the next file
//	scan.go        looks what is in the directory
//	own.go         which of that are the series' own files
//	retain.go      removes the oldest files
//	filesystem.go  what a series asks of the system; directory*.go answers
//	hook.go        the command that is run on a complete file
//
// Nothing here starts a goroutine, waits, or reads a clock: times are
// parameters. When to cut is decided by the caller, by a Policy.
package rotate
