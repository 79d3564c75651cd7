//go:build !linux

package load

import (
	"context"
	"errors"
)

var errUnsupported = errors.New("load: sending is supported on Linux only")

func send(context.Context, Config) (Result, error) { return Result{}, errUnsupported }
