package netconf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// connect gives the test a namespace with a network, 192.0.2.0/24 and
// 2001:db8:1::/64 on eth0, behind whose gateway there are two hosts that answer.
func connect(t *testing.T) {
	t.Helper()
	enterNamespace(t)
	// A namespace gets its name in /run/netns, which is to be this thread's own.
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatalf("new mount namespace: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make mounts private: %v", err)
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatalf("mount over /run: %v", err)
	}
	const other = "other"
	sh(t, `ip netns add `+other+`
		ip link set lo up
		ip link add eth0 type veth peer name gw netns `+other+`
		ip link set eth0 up addrgenmode none
		ip addr add 192.0.2.7/24 dev eth0
		ip addr add 2001:db8:1::7/64 dev eth0 nodad
		ip -n `+other+` link set lo up
		ip -n `+other+` link set gw up
		ip -n `+other+` addr add 192.0.2.1/24 dev gw
		ip -n `+other+` addr add 2001:db8:1::1/64 dev gw nodad
		ip -n `+other+` addr add 203.0.113.5/32 dev lo
		ip -n `+other+` addr add 198.51.100.53/32 dev lo
		ip -n `+other+` addr add 2001:db8:5::5/128 dev lo nodad
		ip route add default via 192.0.2.1
		ip -6 route add default via 2001:db8:1::1`)
}

func sh(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// snapshot is everything of the network that a recorder could leave changed.
func snapshot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", `ip -d addr; ip route show table all; ip -6 route; ip rule; ip -6 rule
		grep -rs '' /proc/sys/net/ipv4 /proc/sys/net/ipv6 | grep -v -e _cookie_ -e mtu_expires -e route/gc -e stat -e flush | sort`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func pings(to string) bool {
	return exec.Command("ping", "-n", "-c", "1", "-W", "2", to).Run() == nil
}

func TestCheckOnANetwork(t *testing.T) {
	connect(t)
	before := snapshot(t)
	lifelines := []Lifeline{
		{netip.MustParseAddr("198.51.100.53"), "the name server"},
		{netip.MustParseAddr("203.0.113.5"), "the other end of this SSH session"},
	}
	for _, tt := range []struct {
		addrs, routes, exclude, want string
	}{
		{addrs: "10.1.0.10,10.1.0.20 fd00:10:1::10,fd00:10:1::20", routes: "198.18.0.0/15 2001:db8:18::/48"},
		{addrs: "192.0.2.200,192.0.2.201",
			want: "address 192.0.2.200,192.0.2.201: 192.0.2.0/24 is on eth0: use another, as --addr 10.1.0.10,10.1.0.20"},
		{addrs: "10.9.0.1,192.0.2.201",
			want: "address 10.9.0.1,192.0.2.201: 192.0.2.0/24 is on eth0: use another, as --addr 10.1.0.10,10.1.0.20"},
		{addrs: "192.0.0.1/16",
			want: "address 192.0.0.1/16: 192.0.2.0/24 is on eth0: use another, as --addr 10.1.0.10,10.1.0.20"},
		{addrs: "2001:db8:1::99/126",
			want: "address 2001:db8:1::99/126: 2001:db8:1::/64 is on eth0: use another, as --addr fd00:10:1::10,fd00:10:1::20"},
		{routes: "192.0.0.0/16", want: "route 192.0.0.0/16: 192.0.2.0/24 is routed to eth0: leave it out with --exclude 192.0.2.0/24"},
		{routes: "192.0.2.1", want: "route 192.0.2.1/32: would take the default gateway, 192.0.2.1, into the device: leave it out with --exclude 192.0.2.1"},
		{routes: "2001:db8:1::/112", want: "route 2001:db8:1::/112: would take the default gateway, 2001:db8:1::1, into the device: leave it out with --exclude 2001:db8:1::1"},
		{routes: "203.0.113.0/24", want: "route 203.0.113.0/24: would take the other end of this SSH session, 203.0.113.5, into the device: leave it out with --exclude 203.0.113.5"},
		{routes: "0.0.0.0/0", exclude: "203.0.113.5",
			want: "route 0.0.0.0/0: would take the name server, 198.51.100.53, into the device: leave it out with --exclude 198.51.100.53"},
		{routes: "::/0", want: "route ::/0: ::/0 is routed to eth0: name with --exclude what has to stay outside the device"},
		{routes: "0.0.0.0/0 ::/0", exclude: "203.0.113.5 198.51.100.53 2001:db8:5::5"},
	} {
		c := parseConfig(t, strings.Fields(tt.addrs), strings.Fields(tt.routes), 0)
		for _, s := range strings.Fields(tt.exclude) {
			e, err := ParseExclude(s)
			if err != nil {
				t.Fatal(err)
			}
			c.Exclude = append(c.Exclude, e)
		}
		err := Check(c, lifelines)
		if !sameError(err, tt.want) {
			t.Errorf("%s %s:\n%v\nwant\n%s", tt.addrs, tt.routes, err, tt.want)
		}
		if tt.want != "" && !errors.As(err, new(*Conflict)) {
			t.Errorf("%v is no Conflict", err)
		}
	}
	if now := snapshot(t); now != before {
		t.Errorf("the machine is\n%s\nbefore\n%s", now, before)
	}
}

func TestCheckSeesAnotherRecorder(t *testing.T) {
	enterNamespace(t)
	newTUN(t, "t1")
	if err := Apply("t1", parseConfig(t, []string{"10.1.0.10,10.1.0.20", "fd00:10:1::10,fd00:10:1::20"}, nil, 0)); err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"10.1.0.10,10.1.0.20":         "address 10.1.0.10,10.1.0.20: 10.1.0.10/32 is on t1: use another, as --addr 10.2.0.10,10.2.0.20",
		"10.9.0.1,10.1.0.20":          "address 10.9.0.1,10.1.0.20: 10.1.0.20/32 is routed to t1: use another, as --addr 10.2.0.10,10.2.0.20",
		"fd00:10:1::10,fd00:10:1::20": "address fd00:10:1::10,fd00:10:1::20: fd00:10:1::10/128 is on t1: use another, as --addr fd00:10:2::10,fd00:10:2::20",
		"10.1.0.30,10.1.0.40":         "",
	} {
		if err := Check(Config{Addrs: []Addr{mustAddr(t, addr)}}, nil); !sameError(err, want) {
			t.Errorf("%s: %v, want %s", addr, err, want)
		}
	}
}

// TestEverythingButExceptions routes the whole Internet into a device, and pings
// what was left out, what is on the network, and what is not; then everything is
// as before.
func TestEverythingButExceptions(t *testing.T) {
	connect(t)
	for _, to := range []string{"192.0.2.1", "203.0.113.5", "198.51.100.53", "2001:db8:5::5"} {
		if !pings(to) {
			t.Fatalf("%s does not answer, before anything was done", to)
		}
	}
	before := snapshot(t)
	tun := newTUN(t, "t0")
	c := parseConfig(t, []string{"10.1.0.10,10.1.0.20", "fd00:10:1::10,fd00:10:1::20"}, []string{"0.0.0.0/0", "::/0"}, 0)
	c.Exclude = prefixes("203.0.113.5/32 2001:db8:5::/48")
	if err := Check(c, nil); err != nil {
		t.Fatal(err)
	}
	if err := Apply("t0", c); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]bool{"192.0.2.1": true, "203.0.113.5": true, "198.51.100.53": false, "2001:db8:5::5": true, "2001:db8:1::1": true} {
		if pings(to) != want {
			t.Errorf("%s answers: %t", to, !want)
		}
	}
	for _, to := range []string{"198.51.100.53", "203.0.113.4", "203.0.113.6", "8.8.8.8", "2001:db8:6::5"} {
		sendTo(t, netip.MustParseAddr(to))
		awaitPacketTo(t, tun, netip.MustParseAddr(to))
	}
	tun.Close()
	if now := snapshot(t); now != before {
		t.Errorf("the machine is\n%s\nbefore\n%s", now, before)
	}
}

func TestMetricAndTable(t *testing.T) {
	connect(t)
	newTUN(t, "t0")
	c := parseConfig(t, []string{"10.1.0.10,10.1.0.20"}, []string{"198.18.0.0/15", "2001:db8:18::/48"}, 0)
	c.Metric = 77
	if err := Apply("t0", c); err != nil {
		t.Fatal(err)
	}
	c = parseConfig(t, nil, []string{"0.0.0.0/0"}, 0)
	c.Table = 7000
	if err := errors.Join(Check(c, nil), Apply("t0", c)); err != nil {
		t.Fatal(err)
	}
	type shown struct {
		Dst, Dev string
		Metric   int
	}
	for args, want := range map[string]shown{
		"-4 route show exact 198.18.0.0/15":    {"198.18.0.0/15", "t0", 77},
		"-6 route show exact 2001:db8:18::/48": {"2001:db8:18::/48", "t0", 77},
		"-4 route show table 7000":             {"default", "t0", 0},
	} {
		if got := ipJSON[shown](t, args); len(got) != 1 || got[0] != want {
			t.Errorf("ip %s: %+v, want %+v", args, got, want)
		}
	}
	if !pings("203.0.113.5") {
		t.Error("a default route in a table of its own took what main leads to")
	}
}

// TestMain runs the test or, for TestManyAtOnce, one recorder of many: it makes a
// device, takes a pair, tells which, and stays until its standard input ends.
func TestMain(m *testing.M) {
	if os.Getenv("TUNREC_NETCONF_TEST") == "" {
		os.Exit(m.Run())
	}
	a, err := recorder()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(a)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func recorder() (Addr, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR, 0)
	if err != nil {
		return Addr{}, err
	}
	request, err := unix.NewIfreq("")
	if err != nil {
		return Addr{}, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return Addr{}, err
	}
	a, _, err := ReservePair()
	if err != nil {
		return Addr{}, err
	}
	return a, Apply(request.Name(), Config{Addrs: []Addr{a}})
}

type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	pair  *bufio.Reader
}

func startRecorder(t *testing.T) process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "TUNREC_NETCONF_TEST=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return process{cmd, stdin, bufio.NewReader(stdout)}
}

// TestManyAtOnce starts a hundred at the same moment.
func TestManyAtOnce(t *testing.T) {
	enterNamespace(t)
	before := snapshot(t)
	const many = 100
	var all []process
	for range many {
		all = append(all, startRecorder(t))
	}
	owner := map[string]int{}
	for i, p := range all {
		pair, err := p.pair.ReadString('\n')
		if err != nil {
			t.Fatalf("recorder %d: %v", i, err)
		}
		if other, ok := owner[pair]; ok {
			t.Errorf("recorders %d and %d have %s", other, i, pair)
		}
		owner[pair] = i
	}
	for n := byte(1); n <= many; n++ { // none is left out
		if _, ok := owner[pair4(n).String()+"\n"]; !ok {
			t.Errorf("nobody has %s", pair4(n))
		}
	}
	for i, p := range all {
		if i%2 == 0 { // killed or not makes no difference
			_ = p.cmd.Process.Kill()
		}
		p.stdin.Close()
		_ = p.cmd.Wait()
	}
	if now := snapshot(t); now != before {
		t.Errorf("the machine is\n%s\nbefore\n%s", now, before)
	}
	a, skipped, err := ReservePair()
	if err != nil || a != pair4(1) {
		t.Errorf("afterwards: %s, %q, %v", a, skipped, err)
	}
}

// The environment of a process far above is found behind sudo's clean one.
func TestLookEnviron(t *testing.T) {
	if os.Getenv("TUNREC_LIFELINE_TEST") != "" {
		if got := lookEnviron("SSH_CONNECTION"); got != "203.0.113.5 5 192.0.2.7 22" {
			t.Errorf("found %q", got)
		}
		return
	}
	// Each sh stays, because its command is not its last.
	cmd := exec.Command("sh", "-c", `env -i TUNREC_LIFELINE_TEST=1 PATH="$PATH" sh -c '"$0" -test.run "^TestLookEnviron$"; exit $?' "$0"; exit $?`, "/proc/"+fmt.Sprint(os.Getpid())+"/exe")
	cmd.Env = append(os.Environ(), "SSH_CONNECTION=203.0.113.5 5 192.0.2.7 22")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS")) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestValidateRoutes(t *testing.T) {
	for _, tt := range []struct {
		routes, exclude string
		metric, table   int
		want            string
	}{
		{routes: "0.0.0.0/0 ::/0", exclude: "192.0.2.0/24 2001:db8::/32", metric: 1<<32 - 1, table: 1<<32 - 1},
		{routes: "192.0.2.0/24", exclude: "198.51.100.0/24", want: "exclude 198.51.100.0/24: is in none of the routes into the device"},
		{routes: "0.0.0.0/0", exclude: "2001:db8::/32", want: "exclude 2001:db8::/32: is in none of the routes into the device"},
		{routes: "192.0.2.0/24", exclude: "192.0.2.0/24", want: "exclude 192.0.2.0/24: leaves nothing of route 192.0.2.0/24"},
		{routes: "192.0.2.0/24", exclude: "192.0.0.0/16", want: "exclude 192.0.0.0/16: leaves nothing of route 192.0.2.0/24"},
		{metric: -1, want: "metric -1: must be 0 to 4294967295"},
		{metric: 1 << 32, want: "metric 4294967296: must be 0 to 4294967295"},
		{table: -1, want: "routing table -1: must be 1 to 4294967295"},
		{table: 1 << 32, want: "routing table 4294967296: must be 1 to 4294967295"},
		{table: 254, want: "routing table 254: is the main one, which routes go to without a number"},
		{table: 255, want: "routing table 255: is the kernel's own"},
	} {
		c := Config{Routes: prefixes(tt.routes), Exclude: prefixes(tt.exclude), Metric: tt.metric, Table: tt.table}
		if err := c.Validate(); !sameError(err, tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := ParseExclude("192.0.2.1/24"); !sameError(err, "exclude 192.0.2.1/24: has bits set beyond its length: use 192.0.2.0/24") {
		t.Error(err)
	}
}
