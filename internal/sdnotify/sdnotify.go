// Package sdnotify tells the service manager how its service is doing: that it
// is ready, that it is alive, what it is doing, that it is about to end. The
// protocol is that of sd_notify(3): lines of NAME=VALUE, one datagram a message,
// to the Unix socket that the environment names.
package sdnotify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// The environment that the service manager sets.
const (
	envSocket       = "NOTIFY_SOCKET" // a path, or @ and the name of an abstract socket
	envWatchdogUsec = "WATCHDOG_USEC" // without a sign of life for so long the service is ended
	envWatchdogPID  = "WATCHDOG_PID"  // the process that is meant
)

// Notifier sends to the service manager. On a nil Notifier every method does
// nothing and succeeds: so it is where no manager listens.
//
// It holds a connected socket: a process that has given up its privileges may make no
// other. The manager keeps its end when it is itself replaced (daemon-reexec).
type Notifier struct {
	conn    *net.UnixConn
	timeout time.Duration // of the watchdog; 0: none
}

// FromEnviron returns the Notifier that the environment asks for, nil where it
// asks for none, and takes what it has read out of the environment: a child of
// this process must not speak for it. Call it once, before any child is started.
func FromEnviron() (*Notifier, error) {
	socket, usec, pid := take(envSocket), take(envWatchdogUsec), take(envWatchdogPID)
	if socket == "" {
		return nil, nil
	}
	if socket[0] != '/' && socket[0] != '@' {
		return nil, fmt.Errorf("%s=%s: want a path or @NAME", envSocket, socket)
	}
	timeout, err := watchdogTimeout(usec, pid)
	if err != nil {
		return nil, err
	}
	// net takes @NAME for an abstract socket, too.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("reach the service manager: %w", err)
	}
	return &Notifier{conn, timeout}, nil
}

// Close closes the socket. A Notifier that is closed says nothing any more.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

func take(name string) string {
	value := os.Getenv(name)
	os.Unsetenv(name)
	return value
}

// watchdogTimeout reads what sd_watchdog_enabled(3) does.
func watchdogTimeout(usec, pid string) (time.Duration, error) {
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64((1<<63-1)/time.Microsecond) {
		return 0, fmt.Errorf("%s=%s: want a number of microseconds", envWatchdogUsec, usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Ready says that the service has started, and what it is doing.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", statusLine(status)) }

// Stopping says that the service has begun to end.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Watch says that the service is alive, and what it is doing, twice in the time
// after which the watchdog bites, until ctx is done. Where alive is false it says
// nothing, so that the manager ends the service and starts it anew. Without a
// watchdog Watch returns at once.
//
// The watchdog bites while a service stops, too: let ctx last until the end. The
// error is that of the last message.
func (n *Notifier) Watch(ctx context.Context, state func() (status string, alive bool)) (err error) {
	if n == nil || n.timeout == 0 {
		return nil
	}
	tick := time.NewTicker(max(n.timeout/2, 1))
	defer tick.Stop()
	for {
		if status, alive := state(); alive {
			// What fails now may succeed before the watchdog bites.
			err = n.send("WATCHDOG=1", statusLine(status))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// statusLine keeps a status from being taken for more lines.
func statusLine(s string) string { return "STATUS=" + strings.ReplaceAll(s, "\n", " ") }

// sendLimit bounds the wait for a manager that does not read.
const sendLimit = time.Second

func (n *Notifier) send(lines ...string) error {
	if n == nil {
		return nil
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(sendLimit)) // fails only of a closed one
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", lines[0], err)
	}
	return nil
}
