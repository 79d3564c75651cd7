//go:build !linux

package capfile

func prefetch(uintptr, int64, int64) {}
