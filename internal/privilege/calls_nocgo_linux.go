//go:build !cgo

package privilege

var cgoCalls []string
