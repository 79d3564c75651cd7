//go:build !linux

package main

func firewall(func(func() error) error, string) []finding { return nil }
