// Command tunrec records what is routed into a tunnel.
//
// main.go starts and ends the process, flags.go has the command line,
// record.go the main job, output.go the names of files, ui.go everything that
// is printed.
package main

import (
	"errors"
	"os"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // nothing recorded, or not as asked
	exitUsage  = 2 // wrong usage
	exitLost   = 3 // recorded, but packets were lost after they had been read
)

func main() {
	checkTimeZone()
	os.Exit(run(os.Args))
}

func run(args []string) int {
	isHelper, err := helperMain(args)
	if !isHelper {
		closeInherited(args)
		defer console.Flush(outletStall, outletLimit)
		err = newApp().Run(withExtcap(args))
	}
	if err == nil {
		return exitOK
	}
	printError(err)
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailed
}

// codedError is an error that ends the process with a certain exit code, and
// may have a hint at what to do.
type codedError struct {
	code  int
	hint  string
	err   error
	lines string // shown below the error: what it is about, and where
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// usageError is wrong usage.
func usageError(err error, hint string) error { return &codedError{exitUsage, hint, err, ""} }

// hinted is a failure with a hint.
func hinted(err error, hint string) error { return &codedError{exitFailed, hint, err, ""} }
