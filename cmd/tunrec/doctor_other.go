//go:build !linux && !darwin

package main

import "runtime"

func unsupported() finding { return wrong("", "not supported on %s", runtime.GOOS) }

func (p *patient) privileges() finding { return unsupported() }
func (p *patient) driver() finding     { return unsupported() }
func apart(f func() error) error       { return f() }
func clock() finding                   { return unsupported() }
func queue() finding                   { return unsupported() }
func (p *patient) memory() finding     { return unsupported() }
func limits() finding                  { return unsupported() }
