//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

var errUnsupported = errors.New("the bench is supported on Linux only: it needs network namespaces")

func run(context.Context, config, io.Writer) error { return errUnsupported }
func bare(string) error                            { return errUnsupported }
func encode(string) error                          { return errUnsupported }
func hold(string) error                            { return errUnsupported }
func plain(string) error                           { return errUnsupported }
func reading(string) error                         { return errUnsupported }
