//go:build !linux && !darwin

package rotate

import (
	"errors"
	"os"
)

func openUnnamed(*os.File) (*os.File, error) { return nil, errUnnamed }

func linkUnnamed(_, _ *os.File, _ string) error { return errUnnamed }

func freeBytes(*os.File) (uint64, error) { return 0, errors.ErrUnsupported }
