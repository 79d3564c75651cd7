package probe

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Target is what attempts are made on.
type Target struct {
	Dir       string // of the captures; "other" in it is another's file that all may read
	Elsewhere string // a directory that everybody may write in
	Victim    int    // a process of the same user
}

// Attempts are what an intruder would try.
func Attempts(t Target) []Attempt {
	other := filepath.Join(t.Dir, "other")
	beside := filepath.Join(t.Dir, "intruder")
	return []Attempt{
		{"read a packet from the device", func() error { return withTun(readTun) }},
		{"write to an open capture", func() error { return withCapture(writeByte) }},

		{"have the device lose its packets", func() error { return withTun(detach) }},

		{"write a packet to the device", func() error { return withTun(writePacket) }},
		{"… by its number plus 2³²", func() error { return withTun(func(fd uintptr) error { return writePacket(1<<32 | fd) }) }},
		{"copy the device's descriptor", func() error { return withTun(copyDescriptor) }},
		{"make the device persistent", func() error { return withTun(persist) }},
		{"give the device away", func() error {
			return withTun(func(fd uintptr) error { return call(unix.SYS_IOCTL, fd, unix.TUNSETOWNER, 0) })
		}},
		{"make another device", func() error { return opened("/dev/net/tun", unix.O_RDWR) }},
		{"set up an interface by netlink", func() error { return setLink() }},

		{"make a file beside the captures", func() error { return makeAndRemove(beside) }},
		{"read another's file there", func() error { return opened(other, unix.O_RDONLY) }},
		{"remove another's file there", func() error { return removeAndMake(other) }},
		{"make a symbolic link there", func() error { return errors.Join(os.Symlink("/", beside), os.Remove(beside)) }},
		{"make a FIFO there", func() error { return errors.Join(unix.Mkfifo(beside, 0o600), os.Remove(beside)) }},
		{"make a capture set-user-ID", func() error { return withCapture(func(fd uintptr) error { return unix.Fchmod(int(fd), 0o4600) }) }},
		{"give a capture away", func() error { return withCapture(func(fd uintptr) error { return unix.Fchown(int(fd), 4242, 4242) }) }},
		{"make a file elsewhere", func() error { return makeAndRemove(filepath.Join(t.Elsewhere, "intruder")) }},
		{"read /etc/passwd", func() error { return opened("/etc/passwd", unix.O_RDONLY) }},
		{"read /etc/shadow", func() error { return opened("/etc/shadow", unix.O_RDONLY) }},
		{"give /etc/shadow away", func() error { return unix.Fchownat(unix.AT_FDCWD, "/etc/shadow", 0, -1, 0) }},
		{"look at its memory's map", func() error { return opened("/proc/self/maps", unix.O_RDONLY) }},

		{"run a program", runTrue},
		{"make a process", fork},
		{"get memory to run code in", func() error {
			return call(unix.SYS_MMAP, 0, 4096, unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON, ^uintptr(0))
		}},
		{"make a program in memory", func() error { return descriptor(unix.MemfdCreate("x", 0)) }},
		{"send another process a signal", func() error { return unix.Kill(t.Victim, unix.SIGCONT) }},
		{"trace another process", func() error { return trace(t.Victim) }},
		{"read another process's memory", func() error { return readMemory(t.Victim) }},

		{"open a UDP socket", func() error { return socket(unix.AF_INET, unix.SOCK_DGRAM, 0) }},
		{"open a TCP socket", func() error { return socket(unix.AF_INET6, unix.SOCK_STREAM, 0) }},
		{"open a raw socket", func() error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) }},
		{"open a packet socket", func() error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) }},
		{"open a netlink socket", func() error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE) }},
		{"open a Unix socket", func() error { return socket(unix.AF_UNIX, unix.SOCK_STREAM, 0) }},

		{"take root back", func() error { return call(unix.SYS_SETRESUID, 0, 0, 0) }},
		{"take a capability", capset},
		{"raise its limits", func() error {
			return unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: unix.RLIM_INFINITY}, nil)
		}},
		{"let others trace it", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
		{"take real-time priority", realTime},
		{"make a namespace", func() error { return inThread(func() error { return unix.Unshare(unix.CLONE_NEWNS) }) }},
		{"mount a file system", func() error {
			return errors.Join(unix.Mount("x", t.Elsewhere, "tmpfs", 0, ""), unix.Unmount(t.Elsewhere, 0))
		}},
		{"make an eBPF map", makeMap},
		{"set up io_uring", func() error {
			return descriptor(rawDescriptor(unix.SYS_IO_URING_SETUP, 1, pointer(make([]byte, 120)), 0))
		}},
		{"watch performance events", performance},
		{"read its session's keys", func() error { return call(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 1) }},
		{"handle page faults", func() error { return descriptor(rawDescriptor(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)) }},
	}
}

// call makes a system call.
func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func pointer(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func rawDescriptor(number, a, b, c uintptr) (int, error) {
	fd, _, errno := unix.Syscall(number, a, b, c)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func descriptor(fd int, err error) error {
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func opened(name string, flags int) error { return descriptor(unix.Open(name, flags, 0)) }

func socket(domain, kind, protocol int) error {
	return descriptor(unix.Socket(domain, kind, protocol))
}

// find returns the first descriptor that is so, or ErrNothing.
func find(is func(fd int, st *unix.Stat_t) bool) (uintptr, error) {
	for fd := 3; fd < 2000; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && is(fd, &st) {
			return uintptr(fd), nil
		}
	}
	return 0, ErrNothing
}

func withTun(do func(fd uintptr) error) error {
	fd, err := find(func(_ int, st *unix.Stat_t) bool {
		return st.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(st.Rdev) == unix.Mkdev(10, 200)
	})
	if err != nil {
		return err
	}
	return do(fd)
}

func withCapture(do func(fd uintptr) error) error {
	fd, err := find(func(fd int, st *unix.Stat_t) bool {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && flags&unix.O_APPEND != 0
	})
	if err != nil {
		return err
	}
	return do(fd)
}

func readTun(fd uintptr) error {
	if _, err := unix.Read(int(fd), make([]byte, 1<<16)); err != unix.EAGAIN {
		return err
	}
	return nil
}

func writeByte(fd uintptr) error {
	_, err := unix.Write(int(fd), []byte{0})
	return err
}

// writePacket writes an IPv4 packet to a protocol that nobody speaks.
func writePacket(fd uintptr) error {
	packet := make([]byte, 20)
	packet[0], packet[3], packet[8], packet[9] = 0x45, 20, 64, 253
	copy(packet[12:], net.IPv4(203, 0, 113, 66).To4())
	copy(packet[16:], net.IPv4(203, 0, 113, 67).To4())
	return call(unix.SYS_WRITE, fd, pointer(packet), uintptr(len(packet)))
}

func copyDescriptor(fd uintptr) error {
	return descriptor(unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0))
}

func persist(fd uintptr) error {
	return errors.Join(call(unix.SYS_IOCTL, fd, unix.TUNSETPERSIST, 1), call(unix.SYS_IOCTL, fd, unix.TUNSETPERSIST, 0))
}

// detach takes from the device the eBPF program that handles its packets, if any.
func detach(fd uintptr) error { return unix.IoctlSetPointerInt(int(fd), unix.TUNSETFILTEREBPF, -1) }

// setLink changes nothing of the interface lo, which takes CAP_NET_ADMIN all the same.
func setLink() error {
	fd, err := find(func(fd int, st *unix.Stat_t) bool {
		name, err := unix.Getsockname(fd)
		address, isNetlink := name.(*unix.SockaddrNetlink)
		return err == nil && isNetlink && address.Groups == 0 // it hears nothing but answers
	})
	if err != nil {
		return err
	}
	const sequence = 0x7475_6e72
	message := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(message[8:], sequence)
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], unix.RTM_NEWLINK)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(message[unix.SizeofNlMsghdr+4:], 1) // its index
	if err := unix.Sendto(int(fd), message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 1<<16)
	for answered := false; !answered; { // there may be answers to others
		n, _, err := unix.Recvfrom(int(fd), answer, 0)
		if err != nil || n < unix.SizeofNlMsghdr+4 {
			return errors.Join(err, unix.EBADMSG)
		}
		answered = binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR && binary.NativeEndian.Uint32(answer[8:]) == sequence
	}
	if errno := -int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

func makeAndRemove(name string) error {
	if err := descriptor(unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)); err != nil {
		return err
	}
	return os.Remove(name)
}

func removeAndMake(name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	return os.WriteFile(name, []byte("another's"), 0o644)
}

// runTrue becomes another program in a process of its own, if it may make one, so that
// the attempts go on.
func runTrue() error {
	argv, err := unix.BytePtrFromString("/bin/true")
	if err != nil {
		return err
	}
	args := []*byte{argv, nil}
	return child(func() unix.Errno {
		_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(argv)), uintptr(unsafe.Pointer(&args[0])), 0)
		return errno
	})
}

func fork() error { return child(func() unix.Errno { return 0 }) }

// child calls do in a new process, or in this one if it may make none. A panic of Go's
// runtime would be the end of both.
func child(do func() unix.Errno) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_VFORK|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		if errno := do(); errno != 0 {
			return errno
		}
		return errno
	}
	if pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(do()), 0, 0)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(int(pid), &status, 0, nil); err != nil {
		return err
	}
	if code := status.ExitStatus(); code > 0 {
		return unix.Errno(code)
	}
	return nil
}

func trace(pid int) error {
	return inThread(func() error {
		if err := unix.PtraceAttach(pid); err != nil {
			return err
		}
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		return errors.Join(err, unix.PtraceDetach(pid))
	})
}

// inThread does something to a thread that ends then.
func inThread(do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- do()
	}()
	return <-result
}

// readMemory fails by EFAULT where it may, for there is nothing at that address.
func readMemory(pid int) error {
	local := []unix.Iovec{{Base: &make([]byte, 8)[0], Len: 8}}
	_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 8, Len: 8}}, 0)
	if err == unix.EFAULT {
		return nil
	}
	return err
}

// capset takes one capability for a thread that ends then.
func capset() error {
	return inThread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		caps := [2]unix.CapUserData{{Effective: 1 << unix.CAP_NET_ADMIN, Permitted: 1 << unix.CAP_NET_ADMIN}}
		return unix.Capset(&header, &caps[0])
	})
}

func realTime() error {
	return inThread(func() error {
		priority := int32(1)
		return call(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, uintptr(unsafe.Pointer(&priority)))
	})
}

func makeMap() error {
	attr := struct{ kind, key, value, entries, flags uint32 }{kind: unix.BPF_MAP_TYPE_ARRAY, key: 4, value: 4, entries: 1}
	return descriptor(rawDescriptor(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)))
}

func performance() error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: unix.PERF_ATTR_SIZE_VER1}
	return descriptor(unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC))
}
