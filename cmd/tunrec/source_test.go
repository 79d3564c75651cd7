package main

import (
	"testing"

	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/tun"
)

// The recorder sees the device itself: in a wrapping, a ring's packets would be
// copied.
func TestRecorderSeesTheDevice(t *testing.T) {
	var c recorder.Config
	d := new(tun.Device)
	(&source{Source: d, device: d}).describe(&c)
	if _, ok := c.Source.(tun.InPlace); !ok {
		t.Errorf("the source is a %T", c.Source)
	}
}
