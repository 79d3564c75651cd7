//go:build !linux

package main

// probed is for Linux.
func probed() {}
