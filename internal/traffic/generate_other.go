//go:build !linux

package main

import (
	"context"
	"errors"
)

func generate(context.Context, string) error {
	return errors.New("making captures is supported on Linux only")
}
