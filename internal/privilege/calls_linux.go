package privilege

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// The calls by their names in package arch, where one of arm64 is called otherwise; a
// processor has only some of them. What is called most stands first in the filter.
var (
	// runtimeCalls are those of Go's runtime: memory, threads, signals, its poller, and
	// what prints a crash.
	runtimeCalls = []string{
		"read", "futex", "poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_ctl", "nanosleep", "clock_nanosleep",
		"madvise", "munmap", "rt_sigprocmask", "rt_sigreturn", "rt_sigaction", "sigaltstack", "sched_yield", "close",
		"clock_gettime", "gettimeofday", "getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "sched_getaffinity", "getrandom", "restart_syscall",
		"epoll_create1", "eventfd2", "pipe2", "exit", "exit_group",
	}
	// recordCalls are for what is open: files, the device's counters by netlink, the
	// helpers' sockets, and waiting for those to end.
	recordCalls = []string{
		"pread64", "lseek", "fstat", "fstatfs", "ftruncate", "fallocate", "fsync", "fdatasync", "sync_file_range",
		"fadvise64", "flock", "fchown", "getdents64", "recvfrom", "recvmsg", "getsockname", "getsockopt", "membarrier",
		"wait4", "waitid",
	}
	fileCalls = []string{
		"openat", "openat2", "newfstatat", "fstatat", "statx", "readlinkat", "faccessat", "faccessat2", "mkdirat",
		"linkat", "unlinkat", "renameat", "renameat2",
	}
	// ownCalls would be of more use to an intruder in a process with capabilities, since
	// Landlock does not look after owners.
	ownCalls   = []string{"fchownat"}
	serveCalls = []string{"sendmsg"}

	// intruderCalls are made by no library that could be in the process: one that is
	// made shows that others are in charge of it.
	intruderCalls = []string{
		"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
		"pidfd_getfd", "kcmp", "memfd_create", "memfd_secret", "mount", "umount2", "open_tree", "move_mount", "fsopen", "fspick", "pivot_root",
		"chroot", "unshare", "setns", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "add_key",
		"request_key", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
		"swapon", "swapoff", "iopl", "ioperm", "personality", "setuid", "setgid", "setreuid", "setregid", "setresuid",
		"setresgid", "setfsuid", "setfsgid", "setgroups", "capset",
	}
)

// newFilter is made while /proc/self/fd can still be read, see descriptors.
func newFilter(c Calls) (*seccomp.Filter, error) {
	info, err := arch.GetInfo("")
	if err != nil || !seccomp.Supported() {
		return nil, nil
	}
	policy, err := policyOf(c, info)
	// Without SPEC_ALLOW, kernels before 5.16 would slow down all of the process, against
	// code in it that spies on itself.
	return &seccomp.Filter{
		Flag:   seccomp.FilterFlagTSync | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		Policy: policy,
	}, err
}

// load filters the system calls of all threads, and says so.
func load(f *seccomp.Filter) (did, lacks string, err error) {
	if f == nil {
		return "", "no filter of system calls here (seccomp), so a fault could make any of them", nil
	}
	if err := seccomp.LoadFilter(*f); err != nil {
		return "", "", fmt.Errorf("filter system calls: %w", err)
	}
	allowed := f.Policy.Syscalls[0]
	return fmt.Sprintf("; seccomp leaves it %d system calls", len(allowed.Names)+len(allowed.NamesWithCondtions)), "", nil
}

func policyOf(c Calls, info *arch.Info) (seccomp.Policy, error) {
	allowed := slices.Concat(runtimeCalls, recordCalls, cgoCalls)
	switch c {
	case MakeFiles:
		allowed = slices.Concat(allowed, fileCalls, ownCalls)
	case ServeFiles:
		allowed = slices.Concat(allowed, fileCalls, serveCalls)
	}
	conditional, err := conditions()
	return seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: known(allowed, info), NamesWithCondtions: conditional},
			{Action: seccomp.ActionKillProcess, Names: known(intruderCalls, info)},
			// Not there, so that who makes threads by it takes clone, whose flags can be seen.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: known([]string{"clone3"}, info)},
		},
	}, err
}

// known are those of the names that this processor has.
func known(names []string, info *arch.Info) (has []string) {
	for _, name := range names {
		if _, ok := info.SyscallNames[name]; ok {
			has = append(has, name)
		}
	}
	return has
}

// conditions are the calls that depend on their arguments.
func conditions() (all []seccomp.NameWithConditions, err error) {
	tuns, netlinks, err := special()
	if err != nil {
		return nil, err
	}
	allow := func(name string, when ...seccomp.Condition) {
		all = append(all, seccomp.NameWithConditions{Name: name, Conditions: when})
	}
	for _, name := range []string{"write", "writev", "pwrite64", "fcntl"} {
		allow(name, noneOf(tuns)...)
	}
	// Without an address, and else by netlink only: datagrams go to whom the socket is
	// connected to.
	allow("sendto", is(4, 0))
	for _, fd := range netlinks {
		allow("sendto", is(0, fd))
	}
	// At the end the device is given a program that lets nothing in.
	for _, fd := range tuns {
		allow("ioctl", is(0, fd), is(1, unix.TUNSETFILTEREBPF))
	}
	self := uint64(os.Getpid())
	allow("tgkill", is(0, self))
	allow("kill", is(0, self))
	allow("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD})
	allow("mmap", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC})
	allow("ioctl", is(1, unix.TIOCGWINSZ))
	allow("ioctl", is(1, unix.TCGETS))
	allow("prctl", is(0, unix.PR_SET_VMA))
	return all, nil
}

func is(argument uint32, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: value}
}

// noneOf is any descriptor but these. The kernel looks at its lower 32 bits alone, so
// that the others have to be 0: 1<<32 | fd is fd, too.
func noneOf(fds []uint64) []seccomp.Condition {
	all := []seccomp.Condition{{Argument: 0, Operation: seccomp.LessOrEqual, Value: math.MaxUint32}}
	for _, fd := range fds {
		all = append(all, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: fd})
	}
	return all
}

// special finds the descriptors of tun devices and of netlink.
func special() (tuns, netlinks []uint64, err error) {
	fds, err := descriptors()
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			continue // that of the listing
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			if uint64(st.Rdev) == unix.Mkdev(10, 200) { // Documentation/networking/tuntap.rst
				tuns = append(tuns, uint64(fd))
			}
		case unix.S_IFSOCK:
			if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && domain == unix.AF_NETLINK {
				netlinks = append(netlinks, uint64(fd))
			}
		}
	}
	return tuns, netlinks, nil
}

// maxScan is a number that no descriptor of a recorder reaches.
const maxScan = 1 << 16

// descriptors are all that are open, and where /proc is not mounted all that could be.
func descriptors() (fds []int, err error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err == nil {
		for _, e := range entries {
			if fd, err := strconv.Atoi(e.Name()); err == nil {
				fds = append(fds, fd)
			}
		}
		return fds, nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, os.NewSyscallError("getrlimit", err)
	}
	for fd := range int(min(limit.Max, maxScan)) {
		fds = append(fds, fd)
	}
	return fds, nil
}
