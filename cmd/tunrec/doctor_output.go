package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/privilege"
)

const (
	littleSpace = 1 << 30  // is worth a note
	noSpace     = 16 << 20 // does not hold what is in memory
	slowWriting = 20 << 20 // bytes a second
	speedTime   = time.Second
	speedBytes  = 1 << 30 // written at the most
)

func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

func space(dir string) finding {
	free, err := freeSpace(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return wrong("mkdir -p "+dir, "there is no directory %s", dir)
	case err != nil:
		return wrong("", "%v", err)
	case free < noSpace:
		return wrong("make room, or write elsewhere with -o", "%s are free in %s", humanize.IBytes(free), dir)
	case free < littleSpace:
		return note("make room, or keep less with -b total:SIZE", "only %s are free in %s", humanize.IBytes(free), dir)
	}
	return ok("%s are free in %s", humanize.IBytes(free), dir)
}

func (p *patient) writing(dir string) finding {
	err := privilege.CanWrite(p.user, dir)
	switch {
	case err == nil:
		return ok("%s can make files in %s", p.user, dir)
	case errors.Is(err, errors.ErrUnsupported):
		return note("", "%v", err)
	case helpers && os.Geteuid() == 0 && privilege.CanWrite(privilege.User{}, dir) == nil:
		return ok("root can make files in %s, and a helper does so for %s", dir, p.user)
	case p.user.UID == 0:
		return wrong("choose with --user who can, or another directory with -o", "%v", err)
	}
	return wrong(fmt.Sprintf("%s %d:%d %s, or choose with --user who can", chown(dir), p.user.UID, p.user.GID, dir), "%v", err)
}

// chown is the command that gives a directory to whom a recording runs as, and with
// it the captures that are in it: retention has to read them.
func chown(dir string) string {
	if captures, _ := filepath.Glob(filepath.Join(dir, "*.pcapng*")); len(captures) > 0 {
		return "chown -R"
	}
	return "chown"
}

// speed writes what cannot be compressed and has it synced.
func speed(dir string) finding {
	rate, err := measureSpeed(dir)
	switch {
	case err != nil:
		return wrong("choose another directory with -o", "write a file in %s: %v", dir, err)
	case rate < slowWriting:
		return note("a faster disk, or fewer bytes a packet with -s", "%s can only be written at %s/s", dir, humanize.IBytes(rate))
	}
	return ok("%s can be written at %s/s", dir, humanize.IBytes(rate))
}

func measureSpeed(dir string) (bytesPerSecond uint64, err error) {
	free, err := freeSpace(dir)
	if err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(dir, ".tunrec-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil {
		return 0, err
	}
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block) // never fails
	most := min(speedBytes, free/4)
	start := time.Now()
	written := uint64(0)
	for written < most && time.Since(start) < speedTime {
		n, err := f.Write(block[:min(uint64(len(block)), most-written)])
		if err != nil {
			return 0, err
		}
		written += uint64(n)
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	return uint64(float64(written) / time.Since(start).Seconds()), nil
}

// oldestWireshark reads the files that tunrec makes.
const oldestWireshark = 4

func wireshark() finding {
	const advice = "Wireshark 4.0 or later shows the files, on any machine: https://www.wireshark.org"
	program, err := exec.LookPath("tshark")
	if err != nil {
		program, err = exec.LookPath("wireshark")
	}
	if err != nil {
		program, err = exec.LookPath("/Applications/Wireshark.app/Contents/MacOS/tshark")
	}
	if err != nil {
		return note(advice, "is not installed here")
	}
	ctx, cancel := context.WithTimeout(context.Background(), doctorPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	version := wiresharkVersion.FindSubmatch(out)
	if version == nil {
		return note(advice, "%s does not tell its version (%v)", program, err)
	}
	if major, err := strconv.Atoi(string(version[2])); err != nil || major < oldestWireshark {
		return note(advice, "%s is %s: too old to read zstd well", program, version[1])
	}
	return ok("%s is %s", program, version[1])
}

var wiresharkVersion = regexp.MustCompile(`Wireshark\)? ((\d+)\.\d+\.\d+)`)
