package sdnotify

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is the service manager's end of the socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func listen(t *testing.T, socket string) manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv(envSocket, socket)
	t.Setenv(envWatchdogUsec, "")
	t.Setenv(envWatchdogPID, "")
	return manager{t, conn}
}

func listenFile(t *testing.T) manager { return listen(t, filepath.Join(t.TempDir(), "notify")) }

func (m manager) want(message string) {
	m.t.Helper()
	b := make([]byte, 1000)
	n, err := m.conn.Read(b)
	if err != nil {
		m.t.Fatal(err)
	}
	if got := string(b[:n]); got != message {
		m.t.Errorf("the manager got %q, not %q", got, message)
	}
}

func notifier(t *testing.T) *Notifier {
	t.Helper()
	n, err := FromEnviron()
	if err != nil {
		t.Fatal(err)
	}
	if n == nil {
		t.Fatal("no notifier")
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessages(t *testing.T) {
	sockets := map[string]string{"path": filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		sockets["abstract"] = "@" + t.TempDir()
	}
	for kind, socket := range sockets {
		t.Run(kind, func(t *testing.T) {
			m := listen(t, socket)
			n := notifier(t)
			must(t, n.Ready("recording tun0"))
			m.want("READY=1\nSTATUS=recording tun0")
			must(t, n.Ready("a\nREADY=0"))
			m.want("READY=1\nSTATUS=a READY=0")
			must(t, n.Stopping())
			m.want("STOPPING=1")
		})
	}
}

func TestChildrenInheritNothing(t *testing.T) {
	listenFile(t)
	t.Setenv(envWatchdogUsec, "1000000")
	t.Setenv(envWatchdogPID, "1")
	notifier(t)
	env, err := exec.Command("env").Output()
	must(t, err)
	for _, name := range []string{envSocket, envWatchdogUsec, envWatchdogPID} {
		if strings.Contains("\n"+string(env), "\n"+name+"=") {
			t.Errorf("a child has %s", name)
		}
	}
}

func TestWatchSendsUntilDone(t *testing.T) {
	m := listenFile(t)
	t.Setenv(envWatchdogUsec, "1000")
	n := notifier(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- n.Watch(ctx, func() (string, bool) { return "7 packets", true })
	}()
	for range 3 {
		m.want("WATCHDOG=1\nSTATUS=7 packets")
	}
	cancel()
	must(t, <-ended)
}

func TestWatchIsSilentWhenNotAlive(t *testing.T) {
	m := listenFile(t)
	t.Setenv(envWatchdogUsec, "1000")
	n := notifier(t)
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	must(t, n.Watch(ctx, func() (string, bool) {
		if asked++; asked == 3 {
			cancel()
		}
		return "", false
	}))
	must(t, n.Stopping())
	m.want("STOPPING=1") // and nothing before it
}

func TestWatchdogIsForOneProcess(t *testing.T) {
	for pid, want := range map[string]time.Duration{
		"": 2 * time.Second, "1": 0, strconv.Itoa(os.Getpid()): 2 * time.Second,
	} {
		got, err := watchdogTimeout("2000000", pid)
		if err != nil || got != want {
			t.Errorf("WATCHDOG_PID=%s: %v, %v; want %v", pid, got, err, want)
		}
	}
}

func TestWithoutManager(t *testing.T) {
	t.Setenv(envSocket, "")
	n, err := FromEnviron()
	if n != nil || err != nil {
		t.Fatalf("%v, %v; want nothing", n, err)
	}
	watch := n.Watch(context.Background(), func() (string, bool) { t.Error("asked"); return "", true })
	must(t, errors.Join(n.Ready("x"), n.Stopping(), watch, n.Close()))
}

func TestBadEnvironment(t *testing.T) {
	for _, test := range []struct{ socket, usec, want string }{
		{"notify", "", "NOTIFY_SOCKET=notify: want a path or @NAME"},
		{"vsock:2:1234", "", "want a path"},
		{"/x", "0", "WATCHDOG_USEC=0: want a number of microseconds"},
		{"/x", "-1", "WATCHDOG_USEC=-1"},
		{"/x", "soon", "WATCHDOG_USEC=soon"},
		{"/x", "9223372036854775807", "WATCHDOG_USEC=9223372036854775807"},
	} {
		t.Setenv(envSocket, test.socket)
		t.Setenv(envWatchdogUsec, test.usec)
		if _, err := FromEnviron(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func TestManagerThatIsGone(t *testing.T) {
	m := listenFile(t)
	n := notifier(t)
	m.conn.Close()
	if err := n.Ready(""); err == nil || !strings.Contains(err.Error(), "tell the service manager READY=1") {
		t.Errorf("Ready: %v", err)
	}
	t.Setenv(envSocket, filepath.Join(t.TempDir(), "none"))
	if n, err := FromEnviron(); n != nil || err == nil || !strings.Contains(err.Error(), "reach the service manager: ") {
		t.Errorf("no socket: %v, %v", n, err)
	}
}
