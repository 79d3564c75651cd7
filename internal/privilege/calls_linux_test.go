package privilege

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// TestCallsExist: a processor has only some of the calls, but no name is one of none.
func TestCallsExist(t *testing.T) {
	allowed := slices.Concat(runtimeCalls, recordCalls, fileCalls, ownCalls, serveCalls)
	for _, name := range slices.Concat(allowed, intruderCalls) {
		_, amd64 := arch.X86_64.SyscallNames[name]
		_, arm64 := arch.AARCH64.SyscallNames[name]
		if !amd64 && !arm64 {
			t.Errorf("no system call is named %s", name)
		}
		if slices.Contains(allowed, name) && slices.Contains(intruderCalls, name) {
			t.Errorf("%s is both allowed and an intruder's", name)
		}
	}
}

// crash is a child that panics under the filter.
func crash([]string) error {
	if _, _, err := Drop(Config{Calls: UseOpen}); err != nil {
		return err
	}
	go func() { panic("as it happens") }()
	select {}
}

// TestCrashIsPrinted: what a crash prints, and by which signal a process ends, is the
// same under the filter.
func TestCrashIsPrinted(t *testing.T) {
	for traceback, want := range map[string]string{"all": "exit status 2", "crash": "signal: aborted"} {
		cmd := child(t, "crash", nil)
		cmd.Env = append(cmd.Env, "GOTRACEBACK="+traceback)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", traceback, err, want)
		}
		for _, part := range []string{"panic: as it happens", "goroutine 1 ", "privilege.crash("} {
			if !strings.Contains(string(out), part) {
				t.Errorf("%s: no %q in:\n%s", traceback, part, out)
			}
		}
	}
}

// work is a child that keeps the runtime busy under the filter: new threads, memory that
// grows and is given back, preemption, timers.
func work([]string) error {
	if _, _, err := Drop(Config{Calls: UseOpen}); err != nil {
		return err
	}
	debug.SetMemoryLimit(64 << 20)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			runtime.LockOSThread() // ends with the goroutine
			for n := range 20 {
				b := make([]byte, 4<<20)
				b[n] = byte(i)
				time.Sleep(time.Microsecond)
			}
		})
		all.Go(func() {
			for n := 0; n < 1e7; n++ { // has to be preempted
				_ = n
			}
		})
	}
	all.Wait()
	debug.FreeOSMemory()
	return unix.Exec("/bin/true", []string{"true"}, nil)
}

// TestRuntimeWorks: and only then the process is ended, by what it should not do.
func TestRuntimeWorks(t *testing.T) {
	out, err := child(t, "work", nil).CombinedOutput()
	if err == nil || !strings.HasPrefix(err.Error(), "signal: bad system call") {
		t.Errorf("%v:\n%s", err, out)
	}
}
