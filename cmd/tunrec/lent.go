package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/netconf"
)

// A program file can lend capabilities to whoever runs it (capabilities(7), File
// capabilities), as capabilityHint proposes. They are for a device that takes nothing
// from anybody: who may run tunrec is not meant to get at the traffic of others, or at
// what they have made.

// refusedWhenLent are flags that would reach further.
var refusedWhenLent = []string{"force-config", "netns", "table", "metric", "hook", "hook-dir", "user", "owner", "keep-root"}

// errLent is wrong usage of lent capabilities.
func errLent(err error) error {
	return usageError(fmt.Errorf("%w: with the capabilities of the program file that is not allowed", err),
		"root may: "+privilegeHint())
}

// checkLent refuses flags that lent capabilities are not for.
func checkLent(c *cli.Context) error {
	if !isLent() {
		return nil
	}
	if err := lentTooMuch(); err != nil {
		return usageError(err, capabilityHint())
	}
	if flag := firstSet(c, refusedWhenLent); flag != "" {
		return errLent(errors.New(flag))
	}
	return nil
}

// checkLentNet refuses addresses and routes that lead somewhere already.
func (o *options) checkLentNet() error {
	if !isLent() || o.noConfig {
		return nil
	}
	err := netconf.CheckTakesNothing(o.net)
	if errors.As(err, new(*netconf.Conflict)) {
		return errLent(err)
	}
	return err
}
