package main

import (
	"errors"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/tun"
)

func (p *patient) privileges() finding {
	switch {
	case os.Geteuid() != 0:
		return wrong(privilegeHint(), "user %d: making a utun device needs root", os.Geteuid())
	case p.user.UID == 0:
		return ok("root")
	}
	return ok("root, who becomes %s once the device is made", p.user)
}

func (p *patient) driver() finding { return ok("utun is part of macOS") }

// apart has no place apart to go to on macOS.
func apart(f func() error) error { return f() }

func clock() finding {
	if now := time.Now(); now.Year() < 2025 {
		return wrong("sudo sntp -sS time.apple.com", "the clock says %s", now.Format(time.RFC3339))
	}
	return ok("%s", time.Now().Format(time.RFC3339))
}

func queue() finding {
	return ok("%d packets may wait in the socket", tun.DefaultPendingPackets)
}

func (p *patient) memory() finding {
	need := uint64(recorder.Config{}.SlabMemory()) + programBytes
	total, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return note("", "hw.memsize: %v", err)
	}
	if need > total/2 {
		return wrong("fewer slabs: tunrec --slabs 8", "a recording takes up to %s of %s", humanize.IBytes(need), humanize.IBytes(total))
	}
	return ok("a recording takes up to %s of %s", humanize.IBytes(need), humanize.IBytes(total))
}

func limits() finding {
	var files, size unix.Rlimit
	if err := errors.Join(unix.Getrlimit(unix.RLIMIT_NOFILE, &files), unix.Getrlimit(unix.RLIMIT_FSIZE, &size)); err != nil {
		return wrong("", "getrlimit: %v", err)
	}
	under := "this session"
	if job := os.Getenv("XPC_SERVICE_NAME"); job != "" && job != "0" {
		under = "launchd job " + job
	}
	return rlimits(under, files.Cur, size.Cur)
}
