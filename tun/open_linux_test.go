package tun

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// descriptors lists our open files as the kernel names them.
func descriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // the listing's own is gone
			all = append(all, to)
		}
	}
	return all
}

// ringMappings counts the mappings of BPF maps in our memory.
func ringMappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), "anon_inode:bpf-map")
}

func linkNames(t *testing.T) []string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func TestOpenSetsUpTheDevice(t *testing.T) {
	newNamespace(t)
	for _, c := range []Config{{}, {Name: "sink0", QueueLen: 123}, {Name: "fifteen-bytes-x", Ingest: IngestRead}} {
		d := openTest(t, c)
		link := linkOf(t, d).Attrs()
		if c.Name != "" && d.Name() != c.Name || d.Name() == "" {
			t.Errorf("%+v: name %q", c, d.Name())
		}
		if want := c.withDefaults().QueueLen; link.TxQLen != want {
			t.Errorf("%+v: txqueuelen %d, not %d", c, link.TxQLen, want)
		}
		if link.RawFlags&unix.IFF_UP != 0 {
			t.Errorf("%+v: is up", c)
		}
	}
}

func TestOpenAndCloseLeaveNothing(t *testing.T) { onBoth(t, testOpenAndClose) }

func testOpenAndClose(t *testing.T, kind IngestKind) {
	newNamespace(t)
	links := linkNames(t)
	cycle := func() {
		d, err := Open(Config{Ingest: kind})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cycle() // the first starts the runtime's poller, which stays
	files, mappings, goroutines := descriptors(t), ringMappings(t), runtime.NumGoroutine()
	for range 10 {
		cycle()
	}
	if now := ringMappings(t); now != mappings {
		t.Errorf("%d mappings of BPF memory, before it %d", now, mappings)
	}
	if now := descriptors(t); !slices.Equal(now, files) {
		t.Errorf("open files were %q, are %q", files, now)
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) { // one that has told its result may be on its way out
			t.Fatalf("%d goroutines, before it %d", runtime.NumGoroutine(), goroutines)
		}
	}
	if now := linkNames(t); !slices.Equal(now, links) {
		t.Errorf("devices were %q, are %q", links, now)
	}
}

func TestFailedOpenLeavesNothing(t *testing.T) {
	newNamespace(t)
	d := openTest(t, Config{Name: "taken"})
	for name, fail := range map[string]func() error{
		"refused by us": func() error { _, err := Open(Config{Name: "taken"}); return err },
		// As if another process had made it between our look and TUNSETIFF.
		"refused by the kernel": func() error { _, _, err := openWater("taken"); return explain(err, "taken") },
	} {
		files := descriptors(t)
		for range 1000 {
			if err := fail(); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "device taken exists already") {
				t.Fatalf("%s: error %v", name, err)
			}
		}
		if now := descriptors(t); !slices.Equal(now, files) {
			t.Errorf("%s: %d open files before, %d after", name, len(files), len(now))
		}
	}
	if _, _, err := d.Drops(); err != nil {
		t.Errorf("the device of that name suffered: %v", err)
	}
}

func TestPersistentDeviceIsRefused(t *testing.T) {
	newNamespace(t)
	if out, err := exec.Command("ip", "tuntap", "add", "dev", "theirs", "mode", "tun").CombinedOutput(); err != nil {
		t.Fatalf("ip tuntap add: %v: %s", err, out)
	}
	if _, err := Open(Config{Name: "theirs"}); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
	if !slices.Contains(linkNames(t), "theirs") {
		t.Error("their device is gone")
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []Config{
		{Name: "a/b"}, {QueueLen: -1}, {QueueLen: MaxQueueLen + 1}, {PendingPackets: -1}, {PendingPackets: MaxPendingPackets + 1},
		{Ingest: -1}, {Ingest: IngestRing + 1}, {RingBytes: -1}, {RingBytes: MinRingBytes - 1},
		{RingBytes: MinRingBytes / 2}, {RingBytes: MinRingBytes + 4096}, {RingBytes: 2 * MaxRingBytes},
	} {
		if _, err := Open(c); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestChildInheritsNothing(t *testing.T) {
	newNamespace(t)
	inherited := func(what string) int {
		out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
		if err != nil {
			t.Fatalf("ls: %v: %s", err, out)
		}
		return strings.Count(string(out), what)
	}
	sockets := inherited("socket:") // of whoever runs the test
	d := openTest(t, Config{})
	if inherited("/dev/net/tun") != 0 || inherited("eventfd") != 0 || inherited("socket:") != sockets {
		t.Error("the child inherited something")
	}
	// The same list shows a descriptor that is not close-on-exec.
	fd, err := unix.Dup(d.poll.fd)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if inherited("/dev/net/tun") != 1 {
		t.Error("the child lacks /dev/net/tun, so this test shows nothing")
	}
}

func TestOpenWithoutPrivilege(t *testing.T) {
	files := descriptors(t)
	err := onDoomedThread(t, func() error {
		if err := dropCapabilities(); err != nil {
			return err
		}
		_, err := Open(Config{})
		return err
	})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "needs root or CAP_NET_ADMIN") {
		t.Errorf("error %v", err)
	}
	if now := descriptors(t); !slices.Equal(now, files) {
		t.Errorf("open files were %q, are %q", files, now)
	}
}

func TestOpenWithoutDriver(t *testing.T) {
	err := onDoomedThread(t, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("new mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("mount / private: %w", err)
		}
		if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("mount over /dev/net: %w", err)
		}
		_, err := Open(Config{})
		return err
	})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "modprobe tun") {
		t.Errorf("error %v", err)
	}
}

func TestExplain(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		unix.EPERM: os.ErrPermission, unix.EACCES: os.ErrPermission,
		unix.ENODEV: os.ErrNotExist, unix.ENXIO: os.ErrNotExist, unix.ENOENT: os.ErrNotExist,
		unix.EBUSY: os.ErrExist, unix.ENOMEM: unix.ENOMEM,
	} {
		if err := explain(os.NewSyscallError("ioctl", errno), "tun7"); !errors.Is(err, want) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
