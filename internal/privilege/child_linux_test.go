package privilege

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/rotate"
	"github.com/tunrec/tunrec/tun"
)

// dropToNobody is the child. It prints the report when everything was as it
// should be.
func dropToNobody(args []string) error {
	home, elsewhere := args[0], args[1]
	root, err := os.OpenRoot(home)
	if err != nil {
		return err
	}
	idle := make(chan struct{})
	for range 8 {
		go func() { runtime.LockOSThread(); idle <- struct{}{}; select {} }()
		<-idle
	}
	nobody, err := ParseUser("nobody")
	if err != nil {
		return err
	}
	if err := CanWrite(nobody, home); err != nil {
		return err
	}
	report, _, err := Drop(Config{User: nobody, Dirs: []string{home}})
	if err != nil {
		return err
	}
	if err := useDirectory(root); err != nil {
		return err
	}
	for what, f := range map[string]func() error{
		"write elsewhere": func() error { return os.WriteFile(filepath.Join(elsewhere, "x"), nil, 0o600) },
		"read elsewhere":  func() error { _, err := os.ReadFile("/etc/hostname"); return err },
		"list elsewhere":  func() error { _, err := os.ReadDir("/"); return err },
		"run a program":   func() error { return exec.Command("/bin/true").Run() },
		"make a namespace": func() error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			return unix.Unshare(unix.CLONE_NEWNET)
		},
	} {
		if err := f(); !errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("%s: %v", what, err)
		}
	}
	fmt.Println(report)
	_, err = io.Copy(io.Discard, os.Stdin) // until the threads have been looked at
	return err
}

// useDirectory does what a series of files does in its directory.
func useDirectory(root *os.Root) error {
	self, err := root.Open(".")
	if err != nil {
		return err
	}
	if err := root.Mkdir("folder", 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile("a", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chown(os.Geteuid(), os.Getegid()); err != nil { // to whom it belongs
		return err
	}
	if err := errors.Join(f.Truncate(10), f.Sync(), self.Sync()); err != nil {
		return err
	}
	for _, name := range []string{"b", "folder/c"} {
		if err := linkUnnamed(self, root, name); err != nil {
			return fmt.Errorf("link an unnamed file to %s: %w", name, err)
		}
	}
	names, err := self.Readdirnames(-1)
	if err != nil || len(names) != 3 {
		return fmt.Errorf("names %q, %v", names, err)
	}
	return errors.Join(root.Remove("a"), root.Remove("b"), root.Remove("folder/c"), root.Remove("folder"))
}

func linkUnnamed(dir *os.File, root *os.Root, name string) error {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	folder, err := root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer folder.Close()
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd),
		int(folder.Fd()), filepath.Base(name), unix.AT_SYMLINK_FOLLOW)
}

// runHook is the child: a hook reads and runs everything that nobody may, and
// writes only in the directory.
func runHook(args []string) error {
	nobody, err := ParseUser("nobody")
	if err != nil {
		return err
	}
	if _, _, err := Drop(Config{User: nobody, Dirs: args[:1], Read: []string{"/", os.Args[0]}}); err != nil {
		return err
	}
	const script = `test "$(id -un)" = nobody && cat /etc/hostname >/dev/null &&
		echo x >"$1/x" && rm "$1/x" && ! echo x >"$2/x"`
	return exec.Command("sh", "-c", script, "sh", args[0], args[1]).Run()
}

// dropAsWhoWeAre is the child that stays who it is.
func dropAsWhoWeAre(args []string) error {
	u, err := Choose(args)
	if err != nil {
		return err
	}
	if u != (User{}) {
		return fmt.Errorf("chose %+v", u)
	}
	report, _, err := Drop(Config{User: u, Dirs: args})
	if err != nil {
		return err
	}
	fmt.Println(report)
	if err := os.WriteFile(filepath.Join(args[0], "x"), nil, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(args[0]), "x"), nil, 0o600); !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("write elsewhere: %v", err)
	}
	return nil
}

// dropWithout is the child; a seccomp filter fails one of its system calls: its
// kernel is an old one, or a service manager forbids the call.
func dropWithout(call uint32, errno unix.Errno) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := forbid(filter); err != nil {
		return err
	}
	if err := CanWrite(User{}, os.TempDir()); err != nil {
		return err
	}
	nobody, err := ParseUser("nobody")
	if err != nil {
		return err
	}
	did, lacks, err := Drop(Config{User: nobody})
	fmt.Println(did + "\n" + lacks)
	return err
}

// recordOn is the child that opens everything as root and uses it as nobody.
func recordOn(args []string) error {
	home := args[0]
	nobody, err := ParseUser("nobody")
	if err != nil {
		return err
	}
	kind, err := tun.ParseIngestKind(args[1])
	if err != nil {
		return err
	}
	d, err := tun.Open(tun.Config{Ingest: kind})
	if err != nil {
		return err
	}
	pair, _, err := netconf.ReservePair()
	if err != nil {
		return err
	}
	if err := netconf.Apply(d.Name(), netconf.Config{Addrs: []netconf.Addr{pair}}); err != nil {
		return err
	}
	series, err := rotate.OpenSeries(rotate.Config{
		Name: filepath.Join(home, "a"), Suffix: ".pcapng",
		Policy:  rotate.Policy{Files: 2, Packets: 1},
		Owner:   rotate.Owner{Set: true, UID: nobody.UID, GID: nobody.GID},
		Inspect: func(*os.File) (rotate.Info, error) { return rotate.Info{}, nil },
	})
	if err != nil {
		return err
	}
	sender, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(pair.Peer, 9)))
	if err != nil {
		return err
	}
	report, _, err := Drop(Config{User: nobody, Dirs: []string{home}, Calls: MakeFiles})
	if err != nil {
		return err
	}
	if err := errors.Join(takePacket(d, sender), rotateFiles(series, home)); err != nil {
		return fmt.Errorf("%s: %w", report, err)
	}
	return errors.Join(series.Close(), d.Close())
}

func takePacket(d *tun.Device, sender net.Conn) error {
	defer sender.Close()
	const text = "after the drop"
	if _, err := sender.Write([]byte(text)); err != nil {
		return err
	}
	packet := make([]byte, tun.MaxPacket)
	for n := 0; !strings.Contains(string(packet[:n]), text); {
		var err error
		if n, _, _, err = d.Next(packet, nil); err != nil {
			return err
		}
		if n == 0 {
			if err := d.Wait(-1); err != nil {
				return err
			}
		}
	}
	lost, _, err := d.Drops()
	if err != nil || lost != 0 {
		return fmt.Errorf("%d lost, %w", lost, err)
	}
	return nil
}

// rotateFiles makes five files, of which two may stay. They are listed through a
// descriptor, as nobody can walk to the directory.
func rotateFiles(series *rotate.Series, home string) error {
	removed := 0
	for i := range 5 {
		if err := series.Prepare(); err != nil {
			return err
		}
		now := time.Unix(int64(i), 0)
		f, err := series.Next(now)
		if err != nil {
			return err
		}
		if _, err := f.WriteString("packets"); err != nil {
			return err
		}
		if err := f.Publish(); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		series.Closed(f, 7, rotate.Info{First: now.UnixNano(), Last: now.UnixNano(), Packets: 1})
		gone, err := series.Retain(now, 0, false)
		if err != nil {
			return err
		}
		removed += len(gone)
	}
	if removed < 3 {
		return fmt.Errorf("%d files were removed from %s", removed, home)
	}
	return nil
}
