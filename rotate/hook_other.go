//go:build !linux && !darwin

package rotate

import "errors"

func closeOnExec() error { return errors.ErrUnsupported }
