//go:build !linux && !darwin

package netconf

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

var errUnsupported = fmt.Errorf("configure a device on %s: %w", runtime.GOOS, errors.ErrUnsupported)

const minMTU = 68 // RFC 791 §3.2

func apply(string, Config) error { return errUnsupported }

func routes(func(destination netip.Prefix, device int)) error { return errUnsupported }
