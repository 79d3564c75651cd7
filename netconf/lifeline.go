package netconf

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Lifeline is an address that the machine, or whoever works on it, would miss if
// its packets went into the device.
type Lifeline struct {
	Addr netip.Addr
	What string // "the name server"
}

// Lifelines returns the name servers of this machine and the other end of the
// SSH session that this process was started in. The default gateways are not
// among them: Check finds those itself.
func Lifelines() []Lifeline {
	var all []Lifeline
	for _, ip := range nameServers() {
		all = append(all, Lifeline{ip, "the name server"})
	}
	if ip, ok := sshPeer(); ok {
		all = append(all, Lifeline{ip, "the other end of this SSH session"})
	}
	return all
}

// nameServers are those of resolv.conf(5) and, because it may name only the local
// one of systemd-resolved(8), those that are asked in the end.
func nameServers() (all []netip.Addr) {
	for _, name := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		for _, ip := range parseResolvConf(readResolvConf(name)) {
			if !ip.IsLoopback() && !slices.Contains(all, ip) {
				all = append(all, ip)
			}
		}
	}
	return all
}

// maxResolvConf is many times what any machine has: it is read as root.
const maxResolvConf = 1 << 20

// readResolvConf returns nothing for what is no file: a machine may have none.
func readResolvConf(name string) string {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxResolvConf {
		return ""
	}
	b, _ := os.ReadFile(name)
	return string(b)
}

func parseResolvConf(text string) (all []netip.Addr) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(fields[1]); err == nil {
			all = append(all, ip.Unmap().WithZone(""))
		}
	}
	return all
}

// sshPeer looks at this process's environment and, because sudo clears that, at
// those of the processes above it.
func sshPeer() (netip.Addr, bool) {
	return parseSSHConnection(lookEnviron("SSH_CONNECTION"))
}

// parseSSHConnection reads "CLIENT PORT SERVER PORT" (ssh(1), ENVIRONMENT).
func parseSSHConnection(s string) (netip.Addr, bool) {
	fields := strings.Fields(s)
	if len(fields) != 4 {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(fields[0])
	return ip.Unmap().WithZone(""), err == nil && !ip.IsLoopback()
}
