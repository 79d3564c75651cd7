//go:build !linux

package namespace

import (
	"errors"
	"fmt"
	"runtime"
)

var errUnsupported = fmt.Errorf("network namespaces on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func do(string, func() error) error { return errUnsupported }
