package netconf

import "testing"

// FuzzParseTexts reads prefixes from the command line, and what the machine and a
// caller's environment say about name servers and SSH.
func FuzzParseTexts(f *testing.F) {
	for _, s := range []string{"192.0.2.0/24", "2001:db8::/32", "::ffff:1.2.3.4/120", "fe80::1%eth0/64",
		"nameserver 127.0.0.53\nnameserver fe80::1%2\n#nameserver x", "192.0.2.1 5 192.0.2.2 22", "::1 1 ::1 22"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for what, parse := range map[string]func(string) (string, error){
			"route":   func(s string) (string, error) { p, err := ParseRoute(s); return p.String(), err },
			"exclude": func(s string) (string, error) { p, err := ParseExclude(s); return p.String(), err },
		} {
			text, err := parse(s)
			if err != nil {
				continue
			}
			if again, err := parse(text); err != nil || again != text {
				t.Errorf("%s %q is %s, and that is %s: %v", what, s, text, again, err)
			}
		}
		for _, ip := range parseResolvConf(s) {
			if !ip.IsValid() || ip.Zone() != "" || ip.Is4In6() {
				t.Errorf("name server %v", ip)
			}
		}
		if ip, ok := parseSSHConnection(s); ok && (!ip.IsValid() || ip.Zone() != "" || ip.IsLoopback()) {
			t.Errorf("SSH client %v", ip)
		}
	})
}
