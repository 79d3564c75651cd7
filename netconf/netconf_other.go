//go:build !linux && !darwin

package netconf

import (
	"errors"
	"fmt"
	"runtime"
)

var errUnsupported = fmt.Errorf("configure a device on %s: %w", runtime.GOOS, errors.ErrUnsupported)

const minMTU = 68 // RFC 791 §3.2

// DefaultMTU leaves the system's own.
const DefaultMTU = 0

// routesNeedAddress: a route has to have an address of its family on the device.
const routesNeedAddress = false

func apply(string, Config) error { return errUnsupported }

func validateTable(int, int) error { return nil }

func systemRoutes(func(route)) error { return errUnsupported }

func reserve(Addr) bool { return true }
