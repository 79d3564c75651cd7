//go:build !linux

package load

import "context"

func send(context.Context, Config) (Result, error) { return Result{}, errUnsupported }
