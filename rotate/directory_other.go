//go:build !linux && !darwin

package rotate

import (
	"errors"
	"os"
)

func openUnnamed(int, string) (*os.File, error) { return nil, errUnnamed }

func linkUnnamed(*os.File, int, string) error { return errUnnamed }

func renameExclusive(int, string, string) error { return errors.ErrUnsupported }

func space(*os.File) (free, size uint64, err error) { return 0, 0, errors.ErrUnsupported }
