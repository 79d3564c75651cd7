package recorder

import (
	"time"

	"github.com/tunrec/tunrec/rotate"
)

// Events of a FileSink.
type (
	// FileOpened: a file has been made.
	FileOpened struct {
		Name string
		Time time.Time
	}
	// FileClosed: a file is complete, or has been given up after an error.
	FileClosed struct {
		Name          string
		Reason        Reason
		Packets       uint64
		OriginalBytes uint64 // their lengths on the wire
		Bytes         uint64 // on disk
		First, Last   int64  // time stamps, ns since 1970-01-01 00:00 UTC; 0 without packets
		Dropped       uint64 // packets lost, wherever it was, while this file was the current one
		Err           error
	}
	// FileRemoved: retention removed a file.
	FileRemoved struct{ rotate.Removed }
	// FileKept: retention may not look into a file or remove it.
	FileKept struct {
		Name string
		Err  error
	}
	// HookDone: the hook has run.
	HookDone struct {
		Name string
		rotate.HookResult
	}
	// Trouble: a file cannot be written; a series tries again.
	Trouble struct{ Err error }
	// Recovered: it can be again.
	Recovered struct{}
)
