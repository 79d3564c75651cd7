package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine says what was measured on, and with which versions.
func machine(ctx context.Context) []string {
	lines := []string{
		fmt.Sprintf("%s, %d CPUs, %s", cpuModel(), runtime.NumCPU(), runtime.GOARCH),
		"Linux " + kernelVersion(),
		runtime.Version(),
	}
	for _, tool := range []string{"tcpdump", "zstd", "dumpcap", "netsniff-ng"} {
		// netsniff-ng tells its version, and then fails.
		out, err := exec.CommandContext(ctx, tool, "--version").CombinedOutput()
		if len(out) == 0 {
			lines = append(lines, fmt.Sprintf("%s: %v", tool, err))
			continue
		}
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		lines = append(lines, strings.Trim(line, "* "))
	}
	return lines
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	_, rest, _ := strings.Cut(string(info), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimLeft(line, "\t: ")
}

// loadAverage is that of the last minute, proc_loadavg(5).
func loadAverage() string {
	averages, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	last, _, _ := strings.Cut(string(averages), " ")
	return last
}

// kernelVersion leaves out what stands behind the number: it can name a host.
func kernelVersion() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "of unknown version"
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
	return version
}
