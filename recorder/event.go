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
	// Trouble: something fails, and is tried again. It is told once, and once more
	// where the cause changes.
	Trouble struct {
		Doing Doing
		Err   error
	}
	// Recovered: it works again.
	Recovered struct{ Doing Doing }
	// FileHarmed: somebody else has removed or changed a file while it was written. No
	// more is written to it.
	FileHarmed struct {
		Name    string
		Packets uint64 // that were in it
		Err     error
	}
	// Unplaced: at the end of a series so many packets are counted as lost that no
	// file's statistics have.
	Unplaced struct{ Packets uint64 }
)

// Doing is what a Trouble is with.
type Doing string

const (
	DoingWrite  Doing = "write"  // packets, which wait in memory meanwhile
	DoingSync   Doing = "sync"   // what has been written, to be safe from a crash of the machine
	DoingEnd    Doing = "end"    // of a file: its index is written later
	DoingRetain Doing = "retain" // to remove old files
)
