//go:build !linux

package rotate

import (
	"errors"
	"fmt"
	"os"
)

var errHelper = fmt.Errorf("a helper for a directory: %w", errors.ErrUnsupported)

func openRemote(*Helper, string) (filesystem, error) { return nil, errHelper }

// ServeDirectory is for Linux.
func ServeDirectory([]*os.File, *os.File, Config) error { return errHelper }
