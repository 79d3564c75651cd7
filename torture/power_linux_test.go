package torture

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const pageBytes = 4096

// TestPower cuts the power: of what was not synced, nothing, some pages in any
// order, or lengths without their bytes reach the disk.
func TestPower(t *testing.T) {
	for _, w := range []struct {
		name string
		of   func(*rand.Rand) wreck
	}{
		{"nothing", func(*rand.Rand) wreck { return func(_, synced []byte) []byte { return synced } }},
		{"pages", somePages},
		{"zeros", zeros},
	} {
		matrix(t, "unsynced-"+w.name+"-series", 1, 20, func(g *rig) { g.powerCut(w.of, w.name == "pages", "-b", "packets:5000") })
		matrix(t, "unsynced-"+w.name+"-one", 0, 20, func(g *rig) { g.powerCut(w.of, w.name == "pages") })
	}
	matrix(t, "unsynced-nothing-plain", 1, 20, func(g *rig) {
		g.powerCut(func(*rand.Rand) wreck { return func(_, synced []byte) []byte { return synced } }, false, "--compress", "none")
	})
	matrix(t, "image-ext4", 0, 10, func(g *rig) { g.imageCopied("mkfs.ext4 -q") })
	matrix(t, "image-xfs", 0, 10, func(g *rig) { g.imageCopied("mkfs.xfs -q") })
}

// somePages has half of the pages that differ reach the disk.
func somePages(rng *rand.Rand) wreck {
	return func(live, synced []byte) []byte {
		disk := append([]byte(nil), synced...)
		for at := 0; at < len(live); at += pageBytes {
			page := live[at:min(at+pageBytes, len(live))]
			if rng.IntN(2) == 0 {
				continue
			}
			if n := at + len(page) - len(disk); n > 0 {
				disk = append(disk, make([]byte, n)...)
			}
			copy(disk[at:], page)
		}
		return disk
	}
}

// zeros has only the length of a file reach the disk.
func zeros(*rand.Rand) wreck {
	return func(live, synced []byte) []byte {
		return append(append([]byte(nil), synced...), make([]byte, max(0, len(live)-len(synced)))...)
	}
}

// powerCut records with --sync flush on a disk that forgets, and cuts the power.
func (g *rig) powerCut(of func(*rand.Rand) wreck, torn bool, args ...string) {
	f := g.faulty()
	f.mu.Lock()
	f.durable = newDurable(f.root)
	f.mu.Unlock()
	r := g.record(append([]string{"-o", f.mount + "/a.pcapng", "--sync", "flush"}, args...)...)
	g.traffic(300, 8000)
	g.eventually("three syncs", func() bool { return f.times(opFsync) >= 3 })
	time.Sleep(time.Duration(g.rng.IntN(800)) * time.Millisecond)

	now := time.Now()
	synced, left := g.folder("synced"), g.folder("left")
	f.durable.mu.Lock() // both of the same moment
	g.must(f.durable.cut(synced, func(_, synced []byte) []byte { return synced }))
	g.must(f.durable.cut(left, of(g.rng)))
	f.durable.mu.Unlock()
	g.streams.stop()
	r.kill()

	promised := g.account(captures(synced))
	if promised.ours == 0 {
		g.fault("nothing was synced")
	}
	g.worst("youngest synced packet %v before the cut", now.Sub(time.Unix(0, promised.last)))
	for _, why := range promised.refused {
		g.fault("what was synced: %s", why)
	}
	g.wreckage(captures(left), promised, torn)
}

// wreckage judges files that the power cut has left: what was synced can be read,
// by Wireshark as they are, and repaired. Where pages are torn, it is read by tunrec
// repair: Wireshark gives up before the damage.
func (g *rig) wreckage(files []string, promised *account, torn bool) {
	for _, f := range files {
		if size(f) == 0 {
			g.fault("%s has 0 bytes", filepath.Base(f))
		}
	}
	var shown uint64
	for f, n := range wireshark(files) {
		if n.err != nil { // capinfos does not count what comes before damage
			n.packets = g.shown(f)
		}
		shown += n.packets
	}
	whole := g.repaired(files)
	a := g.account(whole)
	lost := max(0, int64(promised.ours)-int64(a.ours))
	hidden := max(0, int64(promised.ours)-int64(shown))
	switch {
	case hidden > 0 && torn:
		g.note("Wireshark shows some of what was synced only once it is repaired")
	case hidden > 0:
		a.refuse("what Wireshark shows", fmt.Sprintf("%d of %d synced packets are hidden", hidden, promised.ours))
	}
	g.tell(a, g.streams.sent(), 0, lost)
	if lost > 0 {
		g.fault("%d packets were synced, %d are there after the repair", promised.ours, a.ours)
	}
}

// shown counts the packets that Wireshark shows of a file, whatever it says of its end.
func (g *rig) shown(file string) (n uint64) {
	out, _ := exec.Command("tshark", "-n", "-r", file, "-T", "fields", "-e", "frame.number").Output()
	return uint64(strings.Count(string(out), "\n"))
}

// imageCopied records on a file system in an image that lies on btrfs, where a copy
// of it is made in one instant: what a disk has after a power cut. The copies are
// mounted, which replays their journal.
func (g *rig) imageCopied(mkfs string) {
	host := g.loop("host", "mkfs.btrfs", "defaults", 2048)
	image := filepath.Join(host, "disk.img")
	g.must(os.WriteFile(image, nil, 0o600))
	g.must(os.Truncate(image, 320<<20))
	g.sh("%s %s", mkfs, image)
	disk := g.folder("disk")
	g.sh("mount -o loop %s %s; chmod 777 %s", image, disk, disk)
	g.later(func() { unix.Unmount(disk, unix.MNT_DETACH) })

	r := g.record("-o", "disk/a.pcapng", "--sync", "flush", "-b", "packets:5000")
	g.traffic(300, 5000)
	const copies = 5
	var promised [copies]uint64
	for i := range promised {
		time.Sleep(time.Duration(300+g.rng.IntN(700)) * time.Millisecond)
		promised[i] = inFiles(disk) // readable, perhaps not synced
		// What is readable now is synced when a chunk that came later is.
		g.eventually("a later chunk", func() bool { return inFiles(disk) > promised[i] })
		g.sh("cp --reflink=always %s %s/copy-%d.img", image, host, i)
	}
	g.lostNothing(r, demand{in: disk})
	for i := range promised {
		at := g.folder(fmt.Sprintf("copy-%d", i))
		nouuid := ""
		if strings.Contains(mkfs, "xfs") {
			nouuid = ",nouuid"
		}
		g.sh("mount -o loop%s %s/copy-%d.img %s", nouuid, host, i, at)
		a := g.account(captures(at))
		if a.ours < promised[i] {
			g.fault("copy %d: %d packets had been synced, %d are there", i, promised[i], a.ours)
			g.row.count(func() { g.row.unexplained += int64(promised[i] - a.ours) })
		}
		g.tell(a, 0, 0, max(0, int64(a.holes)-int64(a.dropped)))
		for _, f := range a.files {
			if size(f) == 0 {
				g.fault("copy %d: %s has 0 bytes", i, filepath.Base(f))
			}
		}
		g.must(unix.Unmount(at, unix.MNT_DETACH)) // a loop device may be busy a little longer
	}
}
