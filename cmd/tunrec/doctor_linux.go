package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/tun"
)

func (p *patient) privileges() finding {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return wrong("", "capget: %v", err)
	}
	has := caps[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
	switch {
	case !has:
		return wrong(privilegeHint(), "user %d has no CAP_NET_ADMIN", os.Geteuid())
	case isLent() && openToAll(executable()):
		return note(capabilityHint(), "user %d has the capabilities of the program file, which everybody may run", os.Geteuid())
	case os.Geteuid() != 0:
		return ok("user %d has CAP_NET_ADMIN, and gives it up once the device is made", os.Geteuid())
	case p.user.UID == 0:
		return ok("root, who gives up all capabilities once the device is made")
	}
	return ok("root, who becomes %s once the device is made", p.user)
}

// openToAll reports whether all users may run a program.
func openToAll(program string) bool {
	info, err := os.Stat(program)
	return err == nil && info.Mode().Perm()&0o001 != 0
}

const tunFile = "/dev/net/tun"

func (p *patient) driver() finding {
	f, err := os.OpenFile(tunFile, os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
		return ok("%s is there", tunFile)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return wrong("modprobe tun", "%s: the kernel's tun driver is not loaded", tunFile)
	case errors.Is(err, os.ErrNotExist):
		return wrong("mkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200; in a container: --device /dev/net/tun", "%s is missing", tunFile)
	case errors.Is(err, os.ErrPermission):
		return wrong("chmod 666 /dev/net/tun; in a systemd unit: PrivateDevices=no, DeviceAllow=/dev/net/tun rw", "%v", err)
	}
	return wrong("", "%v", err)
}

// apart runs f in a network namespace of its own, or here where that is not
// allowed.
func apart(f func() error) error {
	result := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the namespace too.
		runtime.LockOSThread()
		_ = unix.Unshare(unix.CLONE_NEWNET)
		result <- f()
	}()
	return <-result
}

func clock() finding {
	if now := time.Now(); now.Year() < 2025 {
		return wrong("date --set, or timedatectl set-ntp true", "the clock says %s", now.Format(time.RFC3339))
	}
	source := readWord("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if source == "hpet" || source == "acpi_pm" {
		return note("if the machine's tsc is sound, boot with clocksource=tsc", "the clock source is %s, which takes about a microsecond a packet", source)
	}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err == nil && t.Status&unix.STA_UNSYNC != 0 {
		return note("timedatectl set-ntp true", "the clock is not synchronised, so times may be wrong")
	}
	return ok("synchronised, clock source %s", source)
}

// queue says what the kernel may hold for a device.
func queue() finding {
	bytes := uint64(tun.DefaultQueueLen) * 2048 // of kernel memory for a packet of 1500
	if free := memAvailable(); free > 0 && bytes > free/4 {
		return note("tunrec --queue 1000", "a full queue of %d packets takes %s of the %s that are free", tun.DefaultQueueLen,
			humanize.IBytes(bytes), humanize.IBytes(free))
	}
	return ok("%d packets may wait in the kernel, %s", tun.DefaultQueueLen, humanize.IBytes(bytes))
}

func (p *patient) memory() finding {
	need := uint64(recorder.Config{}.SlabMemory()) + programBytes
	if p.ring {
		need += tun.DefaultRingBytes
	}
	limit, by := memAvailable(), "available memory"
	if l := cgroupLimit("memory.max"); l > 0 && l < limit {
		limit, by = l, "memory.max of its control group"
	}
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_DATA, &r) == nil && r.Cur < limit {
		limit, by = r.Cur, "RLIMIT_DATA"
	}
	if need > limit {
		return wrong("fewer slabs (tunrec --slabs 8), or a higher limit (MemoryMax= of a unit)",
			"a recording takes up to %s, %s is %s", humanize.IBytes(need), by, humanize.IBytes(limit))
	}
	return ok("a recording takes up to %s, %s is %s", humanize.IBytes(need), by, humanize.IBytes(limit))
}

// limits tells those of the service manager, which are also those of a shell.
func limits() finding {
	var files, size unix.Rlimit
	if err := errors.Join(unix.Getrlimit(unix.RLIMIT_NOFILE, &files), unix.Getrlimit(unix.RLIMIT_FSIZE, &size)); err != nil {
		return wrong("", "getrlimit: %v", err)
	}
	under := runsUnder()
	if tasks := cgroupLimit("pids.max"); tasks > 0 && tasks < leastTasks {
		return wrong("TasksMax=64 in the unit", "%s: %d threads are allowed, %d are needed", under, tasks, leastTasks)
	}
	return rlimits(under, files.Cur, size.Cur)
}

// runsUnder names the systemd unit, where there is one.
func runsUnder() string {
	b, _ := os.ReadFile("/proc/self/cgroup")
	path := strings.TrimSpace(string(b))
	unit := path[strings.LastIndexByte(path, '/')+1:]
	if strings.HasSuffix(unit, ".service") || strings.HasSuffix(unit, ".scope") {
		return unit
	}
	return fmt.Sprintf("process %d", os.Getpid())
}

// cgroupLimit is the lowest limit of that name on the way up from this process's
// control group (cgroups(7), version 2); 0: none.
func cgroupLimit(name string) (lowest uint64) {
	b, _ := os.ReadFile("/proc/self/cgroup")
	_, path, isV2 := strings.Cut(strings.TrimSpace(string(b)), "0::/")
	for isV2 {
		n, err := strconv.ParseUint(readWord("/sys/fs/cgroup/"+path+"/"+name), 10, 64)
		if err == nil && (lowest == 0 || n < lowest) {
			lowest = n
		}
		if path == "" {
			break
		}
		path = path[:max(0, strings.LastIndexByte(path, '/'))]
	}
	return lowest
}

func memAvailable() uint64 {
	b, _ := os.ReadFile("/proc/meminfo")
	_, rest, _ := strings.Cut(string(b), "MemAvailable:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseUint(fields[0], 10, 64)
	return kib << 10
}

// readWord returns what a file of the kernel says, or "".
func readWord(name string) string {
	b, _ := os.ReadFile(name)
	return strings.TrimSpace(string(b))
}
