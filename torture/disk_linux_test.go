package torture

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDisk has no room, no inodes, no right to go on: a series waits for better
// times and loses nothing that memory holds, one file ends as well as it can.
func TestDisk(t *testing.T) {
	matrix(t, "full-one", 1, 10, diskFullOne)
	matrix(t, "full-series-then-room", 1, 10, func(g *rig) { g.noRoom("size=2m", "size=64m", 3000, false) })
	matrix(t, "full-series-room-at-the-stop", 1, 10, func(g *rig) { g.noRoom("size=2m", "size=64m", 3000, true) })
	matrix(t, "no-inodes-then-more", 1, 10, func(g *rig) { g.noRoom("nr_inodes=6", "nr_inodes=4096", 12_000, false) })
	matrix(t, "file-size-limit-one", 1, 10, func(g *rig) { g.fileSizeLimit("-o", "a.pcapng") })
	matrix(t, "file-size-limit-series", 1, 10, func(g *rig) { g.fileSizeLimit("-o", "a.pcapng", "-b", "filesize:900kB") })
	matrix(t, "directory-removed-and-made-anew", 1, 10, directoryRemoved)
	matrix(t, "quota-btrfs", 0, 5, quotaBtrfs)
	matrix(t, "read-only-ext4-abort", 0, 5, readOnlyExt4)
}

// diskFullOne fills the disk under one file: it ends, and what is in it is whole up
// to the last chunk.
func diskFullOne(g *rig) {
	g.tmpfs("disk", "size=2m")
	r := g.record("-o", "disk/a.pcapng")
	g.traffic(1400, 3000)
	r.wait("the disk is full")
	g.streams.stop()
	g.judge(r, demand{codes: []int{exitLost}, cut: true, untold: true})
	if !strings.Contains(r.text(), "no space left on device") {
		g.fault("it does not say why it ended:\n%s", r.text())
	}
}

// noRoom fills a disk under a series, and makes room while it records or just
// before it stops: nothing is lost.
func (g *rig) noRoom(small, large string, packets int, stop bool) {
	dir := g.tmpfs("disk", small)
	r := g.record("-o", "disk/a.pcapng", "-b", "packets:1000")
	g.send(packets, 1300, 6000)
	g.eventually("trouble", func() bool { return len(r.events("trouble")) > 0 })
	g.send(500, 1300, 6000)
	g.must(unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, large))
	if !stop {
		g.eventually("writing goes on", func() bool { return len(r.events("recovered")) > 0 })
		g.send(1500, 1300, 6000)
	}
	g.lostNothing(r, demand{})
	if n := len(r.events("trouble")); n != 1 {
		g.fault("one trouble was told %d times", n)
	}
	g.consecutive(captures(dir))
}

// lostNothing ends a recording that had memory enough for all that came.
func (g *rig) lostNothing(r *recorder, d demand) {
	g.t.Helper()
	g.end(r, d)
	if s := r.summary(); s != nil && s.dropped() > 0 {
		g.fault("memory had room, and %d packets are lost: %+v\n%s", s.dropped(), *s, r.text())
	}
}

// consecutive checks that no number of a series has been used up by a try that failed.
func (g *rig) consecutive(files []string) {
	g.t.Helper()
	for i, f := range files {
		if !strings.Contains(f, fmt.Sprintf("a_%05d_", i+1)) {
			g.fault("the file of number %d is %s", i+1, f)
			return
		}
	}
}

// fileSizeLimit has the system refuse to let a file grow above a MiB (EFBIG, and a
// signal beside it). A file of a series that stays below it never knows.
func (g *rig) fileSizeLimit(args ...string) {
	r := g.start(launch{wrap: []string{"prlimit", "--fsize=1048576"}, args: args})
	if len(args) == 2 {
		g.traffic(1400, 3000)
		r.wait("the file has reached its limit")
		g.streams.stop()
		g.judge(r, demand{codes: []int{exitLost}, cut: true, untold: true})
		return
	}
	g.send(3000, 1400, 6000)
	g.lostNothing(r, demand{})
}

// directoryRemoved takes a series its folder, and gives it another one of that name:
// what was in the first is told, and the recording goes on in the second.
func directoryRemoved(g *rig) {
	dir := g.folder("series")
	r := g.record("-o", "series/a.pcapng", "-b", "packets:100000", "--keep-root")
	first := int(g.send(1000, 300, 5000))
	g.eventually("packets in a file", func() bool { return inFiles(dir) == uint64(first) })
	g.must(os.RemoveAll(dir))
	g.send(500, 300, 5000)
	time.Sleep(300 * time.Millisecond) // so that it meets the missing folder at least at some tries
	g.folder("series")
	second := int(g.send(1000, 300, 5000))
	g.eventually("packets in the new folder", func() bool { return inFiles(dir) >= uint64(second) })
	g.end(r, demand{codes: []int{exitLost}, untold: true})
	if !strings.Contains(r.text(), "removed") {
		g.fault("it does not say that the file was removed:\n%s", r.text())
	}
}

// loop makes a file system in an image and mounts it.
func (g *rig) loop(name, mkfs, mountOptions string, megabytes int64) (dir string) {
	g.t.Helper()
	dir = g.folder(name)
	image := g.path(name + ".img")
	g.must(os.WriteFile(image, nil, 0o600))
	g.must(os.Truncate(image, megabytes<<20))
	g.sh("%s %s >/dev/null 2>&1", mkfs, image)
	g.sh("mount -o loop,%s %s %s", mountOptions, image, dir)
	g.later(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	g.must(os.Chmod(dir, 0o777))
	return dir
}

// quotaBtrfs meets a quota (EDQUOT), which is then raised.
func quotaBtrfs(g *rig) {
	dir := g.loop("disk", "mkfs.btrfs", "defaults", 256)
	g.sh("btrfs quota enable %s; btrfs subvolume create %s/v; btrfs qgroup limit 2M %s/v; chmod 777 %s/v", dir, dir, dir, dir)
	r := g.record("-o", "disk/v/a.pcapng", "-b", "packets:1000", "--sync", "flush")
	g.traffic(1300, 3000)
	g.eventually("trouble", func() bool { return len(r.events("trouble")) > 0 })
	g.streams.stop()
	g.sh("btrfs qgroup limit none %s/v", dir)
	g.eventually("writing goes on", func() bool { return len(r.events("recovered")) > 0 })
	g.lostNothing(r, demand{})
	if !strings.Contains(r.text(), "quota") {
		g.fault("it does not name the quota:\n%s", r.text())
	}
}

// readOnlyExt4 has ext4 give up, as it does at errors: everything fails with EROFS
// or EIO from then on.
func readOnlyExt4(g *rig) {
	dir := g.loop("disk", "mkfs.ext4 -q -E lazy_itable_init=0", "errors=remount-ro", 64)
	r := g.record("-o", "disk/a.pcapng", "-b", "packets:1000")
	g.send(3500, 300, 5000)
	g.eventually("files", func() bool { return len(captures(dir)) >= 3 })
	g.sh("mount -o remount,abort %s", dir)
	g.send(1500, 300, 5000)
	g.end(r, demand{codes: []int{exitLost}, cut: true, untold: true})
}
