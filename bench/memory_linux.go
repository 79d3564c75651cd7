package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory is what a process has held at the most, in bytes.
type memory struct {
	own  int64 // resident, without the ring
	ring int64 // that the kernel fills: of BPF, or of a packet socket
}

func (m memory) plus(n memory) memory { return memory{m.own + n.own, m.ring + n.ring} }

// memory tells of the process so far. ru_maxrss would tell it of an ended
// process, but is never less than what the parent had at the fork: execve(2)
// carries it over (exec_mmap in fs/exec.c).
func (p *process) memory() (m memory, err error) {
	proc := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	peak, err := statusNumber(proc+"/status", "VmHWM")
	if err != nil {
		return m, err
	}
	maps, err := os.ReadFile(proc + "/smaps")
	if err != nil {
		return m, err
	}
	resident, ring := rings(string(maps))
	return memory{own: peak<<10 - resident, ring: ring}, nil
}

// rings adds up, out of smaps of proc_pid_smaps(5), what is resident of rings,
// and what of that is memory: a BPF ring is mapped twice, end to end.
func rings(smaps string) (resident, held int64) {
	ring := false
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		if !strings.HasSuffix(fields[0], ":") { // a mapping begins
			ring = strings.Contains(line, "anon_inode:bpf-map") || strings.Contains(line, "socket:[")
		}
		if !ring || len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "Rss:":
			resident += kib << 10
		case "Pss:":
			held += kib << 10
		}
	}
	return resident, held
}

// wakeUps is how often the threads of the process have waited and were woken.
func (p *process) wakeUps() (sum int64, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	for _, name := range threads {
		n, err := statusNumber(name, "voluntary_ctxt_switches")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, err
}

// statusNumber is a number out of a status file, proc_pid_status(5).
func statusNumber(name, key string) (n int64, err error) {
	status, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(status), "\n"+key+":")
	if _, err := fmt.Sscanf(line, "%d", &n); err != nil {
		return 0, fmt.Errorf("%s: no %s: %w", name, key, err)
	}
	return n, nil
}
