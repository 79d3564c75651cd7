package examples

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// built is where TestMain puts the commands that the examples run.
var built string

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "sender" {
		sender(os.Args[1:])
		return
	}
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(s) { // in the background of a script, or under nohup: what the tests start has to hear it
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	os.Exit(withCommands(m))
}

func withCommands(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the examples are run with devices and mounts in namespaces of their own: run this as root")
		return 1
	}
	var err error
	if built, err = os.MkdirTemp("", "examples"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(built)
	build := exec.Command("go", "build", "-o", built+"/", "../cmd/tunrec", "./go/record-n")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// sender is the program that the tests record: it sends a datagram to each
// address, says who it is, and ends with exit code 7.
func sender(addrs []string) {
	for _, a := range addrs {
		conn, err := net.Dial("udp", net.JoinHostPort(a, "9"))
		if err == nil {
			_, err = conn.Write([]byte("example"))
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Printf("uid %d, home %s\n", os.Getuid(), os.Getenv("HOME"))
	os.Exit(7)
}

// isolate gives the test, and what it starts, a network and a mount namespace
// of their own: /usr/local holds nothing but the commands, /dev/net/tun is open
// to every user, as it is where udev runs, and what is mounted elsewhere stays
// in here. The thread is locked for good and ends with the test.
func isolate(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	must(t, unix.Unshare(unix.CLONE_NEWNET|unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))

	self, err := os.Executable()
	must(t, err)
	mountTmpfs(t, "/usr/local")
	must(t, os.Mkdir("/usr/local/bin", 0o755))
	bind(t, filepath.Join(built, "tunrec"), "/usr/local/bin/tunrec")
	bind(t, filepath.Join(built, "record-n"), "/usr/local/bin/record-n")
	bind(t, self, "/usr/local/bin/sender")

	const node = "/usr/local/tun"
	must(t, unix.Mknod(node, unix.S_IFCHR, int(unix.Mkdev(10, 200))))
	must(t, os.Chmod(node, 0o666))
	must(t, unix.Mount(node, "/dev/net/tun", "", unix.MS_BIND, ""))
}

func mountTmpfs(t *testing.T, dir string) {
	t.Helper()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"))
}

// bind shows a file under another name.
func bind(t *testing.T, file, name string) {
	t.Helper()
	f, err := os.Create(name)
	must(t, err)
	must(t, f.Close())
	must(t, unix.Mount(file, name, "", unix.MS_BIND, ""))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The default addresses of a device where nothing else is.
const peer = "10.1.0.20"

// awaitPeer returns a function that waits until packets to the peer go into a
// device. What is to make the device is started in between.
func awaitPeer(t *testing.T) (wait func()) {
	t.Helper()
	routes, done := make(chan netlink.RouteUpdate), make(chan struct{})
	must(t, netlink.RouteSubscribe(routes, done))
	return func() {
		t.Helper()
		defer close(done)
		for r := range routes {
			if r.Type == unix.RTM_NEWROUTE && r.Dst != nil && r.Dst.IP.String() == peer {
				return
			}
		}
		t.Fatal("no more news of routes")
	}
}

func sendPackets(t *testing.T, n int) {
	t.Helper()
	conn, err := net.Dial("udp", net.JoinHostPort(peer, "9"))
	must(t, err)
	defer conn.Close()
	for range n {
		_, err := conn.Write([]byte("example"))
		must(t, err)
	}
}

// process is a command that has been started.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// start starts a command; it is killed when the test ends before it does.
func start(t *testing.T, c *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: c}
	c.Stdout, c.Stderr = &p.stdout, &p.stderr
	must(t, c.Start())
	t.Cleanup(func() {
		if c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
	})
	return p
}

// wait waits for the end and checks the exit code.
func (p *process) wait(t *testing.T, code int) {
	t.Helper()
	err := p.Wait()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := p.ProcessState.ExitCode(); got != code {
		t.Fatalf("%s: exit code %d, not %d\n%s%s", strings.Join(p.Args, " "), got, code, &p.stdout, &p.stderr)
	}
}

var summary = regexp.MustCompile(`(?m)^tunrec: (\S+): ([0-9,]+) packets? recorded, `)

// checkSummary looks for one line that sums up the run.
func checkSummary(t *testing.T, messages string, packets int) {
	t.Helper()
	found := summary.FindAllStringSubmatch(messages, -1)
	if len(found) != 1 || packets >= 0 && found[0][2] != fmt.Sprint(packets) {
		t.Errorf("want one line with %d packets recorded:\n%s", packets, messages)
	}
	if strings.Contains(messages, "tunrec: error") {
		t.Errorf("a message of an error:\n%s", messages)
	}
}

// destinations returns where the packets went that a capture has, by tshark.
func destinations(t *testing.T, file string) []string {
	t.Helper()
	tshark := exec.Command("tshark", "-n", "-r", file, "-Y", "udp", "-T", "fields", "-e", "ip.dst", "-e", "ipv6.dst")
	tshark.Stderr = new(bytes.Buffer)
	out, err := tshark.Output()
	if err != nil {
		t.Fatalf("tshark reads %s: %v\n%s", file, err, tshark.Stderr)
	}
	return strings.Fields(string(out))
}

// checkSeries wants so many packets to the peer in so many files.
func checkSeries(t *testing.T, prefix string, files, packets int) {
	t.Helper()
	names, err := filepath.Glob(prefix + "_0000[1-9]_20*.pcapng.zst")
	must(t, err)
	var all []string
	for _, name := range names {
		all = append(all, destinations(t, name)...)
	}
	if want := strings.Repeat(peer+" ", packets); len(names) != files || strings.Join(all, " ")+" " != want {
		t.Errorf("files %v have packets to %v; want %d files, %d packets to %s", names, all, files, packets, peer)
	}
}
