//go:build !linux

package main

import "github.com/tunrec/tunrec/rotate"

// helpers: no process can do for the recorder what it can no longer do itself.
const helpers = false

func helperMain([]string) (isHelper bool, err error) { return false, nil }

type helped struct{}

func (o *options) startHelpers(*ui) error {
	if o.hook != nil {
		o.files.Hook = o.hook
	}
	return nil
}

func (o *options) startDirectory(*rotate.Config) error { return nil }
func (h *helped) await() error                         { return nil }
func (h *helped) watch(func()) (release func())        { return func() {} }
func (h *helped) close() error                         { return nil }
