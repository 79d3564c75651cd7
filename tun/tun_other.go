//go:build !linux && !darwin

package tun

import (
	"errors"
	"runtime"
	"time"
)

var errUnsupported = &problem{"tun devices are not supported on " + runtime.GOOS, errors.ErrUnsupported}

func validName(string) error       { return errUnsupported }
func open(Config) (*Device, error) { return nil, errUnsupported }

type poller struct{}

func (*poller) wait(time.Duration) error { return errUnsupported }
func (*poller) Wake()                    {}
func (*poller) close() error             { return errUnsupported }
