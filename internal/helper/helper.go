// Package helper runs this program a second time, as a process that may do what the first
// one has given up: make files in a directory of root's, run hooks. The two talk over
// sockets that were there before the second one, and that nobody else can reach.
//
//	helper_linux.go      starting one, and being one
//	directory_linux.go   making the files of a series
//	hook_linux.go        running hooks
package helper
