package sdnotify

import (
	"strings"
	"testing"
)

// FuzzEnviron reads what anybody may have put into the environment.
func FuzzEnviron(f *testing.F) {
	f.Add("/run/systemd/notify", "30000000", "")
	f.Add("@name", "9223372036854775807", "1")
	f.Add("@\x01", "-1", "x")
	f.Fuzz(func(t *testing.T, socket, usec, pid string) {
		if strings.Contains(socket+usec+pid, "\x00") {
			return // no environment has that
		}
		t.Setenv(envSocket, socket)
		t.Setenv(envWatchdogUsec, usec)
		t.Setenv(envWatchdogPID, pid)
		n, err := FromEnviron()
		switch {
		case err != nil && n != nil, err == nil && (n == nil) != (socket == ""):
			t.Errorf("%+v, %v", n, err)
		case n != nil && n.timeout < 0:
			t.Errorf("a watchdog of %v", n.timeout)
		}
	})
}
