//go:build !linux && !darwin

package privilege

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

var errUnsupported = fmt.Errorf("giving up privileges on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func drop(Config) (did, lacks string, err error) { return "", "", errUnsupported }
func canBecome(User) error                       { return errUnsupported }
func canWrite(User, string) error                { return errUnsupported }
func canReach(User, string) error                { return errUnsupported }
func canRead(User, string) error                 { return errUnsupported }
func isRoot() bool                               { return os.Geteuid() == 0 }
func canRun(User, string) error                  { return errUnsupported }
