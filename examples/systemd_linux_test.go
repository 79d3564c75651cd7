package examples

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	recorderUnit = "systemd/tunrec@.service"
	nightlyUnit  = "systemd/tunrec-nightly.service"
	timerUnit    = "systemd/tunrec-nightly.timer"
)

func TestSystemdUnitsVerify(t *testing.T) {
	isolate(t) // ExecStart= has to be there
	for _, unit := range []string{recorderUnit, nightlyUnit, timerUnit} {
		// --man=no: the manual is not installed.
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify %s: %v\n%s", unit, err, out)
		}
	}
}

func TestSystemdUnitVerifyFindsFaults(t *testing.T) {
	isolate(t)
	text, err := os.ReadFile(nightlyUnit)
	must(t, err)
	faulty := filepath.Join(t.TempDir(), "tunrec-nightly.service")
	must(t, os.WriteFile(faulty, []byte(strings.Replace(string(text), "ProtectHome=", "ProtectHouse=", 1)), 0o644))
	out, _ := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", faulty).CombinedOutput()
	if !strings.Contains(string(out), "ProtectHouse") {
		t.Errorf("a wrong setting is not found:\n%s", out)
	}
}

func TestSystemdExposure(t *testing.T) {
	for _, unit := range []string{recorderUnit, nightlyUnit} {
		text, err := os.ReadFile(unit)
		must(t, err)
		stated := regexp.MustCompile(`(?m)^# Exposure: (\d)\.(\d) `).FindSubmatch(text)
		if stated == nil {
			t.Fatalf("%s does not state its exposure", unit)
		}
		// The threshold is in tenths.
		threshold := "--threshold=" + string(stated[1]) + string(stated[2])
		out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--no-pager", threshold, unit).CombinedOutput()
		if err != nil {
			t.Errorf("%s is more exposed than it states (%s): %v\n%s", unit, threshold, err, out)
		}
	}
}

func TestSystemdServicesHaveOneSandbox(t *testing.T) {
	if a, b := sandbox(t, recorderUnit), sandbox(t, nightlyUnit); a != b {
		t.Errorf("%s:\n%s\n\n%s:\n%s", recorderUnit, a, nightlyUnit, b)
	}
}

func sandbox(t *testing.T, unit string) string {
	t.Helper()
	text, err := os.ReadFile(unit)
	must(t, err)
	_, box, found := strings.Cut(string(text), "\n# Sandbox.")
	if !found {
		t.Fatalf("%s has no sandbox", unit)
	}
	box, _, _ = strings.Cut(box, "\n[Install]")
	return strings.TrimSpace(box)
}

// settings are the values of a unit, the last one given of each.
type settings map[string]string

func readUnit(t *testing.T, name, instance string) settings {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	s := settings{}
	specifiers := strings.NewReplacer("%i", instance, "%S", "/var/lib")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), "=")
		if ok && !strings.HasPrefix(key, "#") {
			s[key] = specifiers.Replace(value)
		}
	}
	return s
}

// service is a unit's command, and the manager that listens to it.
type service struct {
	*process
	state   string // its directory
	manager *net.UnixConn
}

// startService runs the ExecStart= of a unit as systemd would: as a user without
// privileges but the unit's capabilities, with nothing in the environment but
// what the manager sets.
func startService(t *testing.T, s settings, more ...string) *service {
	t.Helper()
	isolate(t)
	const nobody = 65534
	mountTmpfs(t, "/var/lib")
	state := filepath.Join("/var/lib", s["StateDirectory"])
	must(t, os.MkdirAll(state, 0o755))
	must(t, os.Chown(state, nobody, nobody))
	must(t, os.Chmod(state, 0o700))

	const socket = "@manager" // of this network namespace
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { manager.Close() })

	flags := strings.TrimPrefix(strings.Trim(s["Environment"], `"`), "TUNREC_FLAGS=")
	line := strings.ReplaceAll(s["ExecStart"], "$TUNREC_FLAGS", flags)
	caps := "-all," + strings.ReplaceAll(strings.ToLower(s["AmbientCapabilities"]), "cap_", "+")
	caps = strings.ReplaceAll(caps, " ", ",")
	argv := []string{"--reuid", strconv.Itoa(nobody), "--regid", strconv.Itoa(nobody), "--clear-groups", "--no-new-privs",
		"--inh-caps", caps, "--ambient-caps", caps, "--bounding-set", caps}
	c := exec.Command("setpriv", slices.Concat(argv, strings.Fields(line), more)...)
	c.Dir = "/"
	c.Env = []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=30000000"}
	return &service{start(t, c), state, manager}
}

// heard waits for a message to the manager that has the line.
func (s *service) heard(t *testing.T, line string) {
	t.Helper()
	must(t, s.manager.SetReadDeadline(time.Now().Add(time.Minute)))
	b := make([]byte, 4096)
	for {
		n, err := s.manager.Read(b)
		if err != nil {
			t.Fatalf("the manager waits for %s: %v\n%s", line, err, &s.stderr)
		}
		if strings.Contains("\n"+string(b[:n])+"\n", "\n"+line+"\n") {
			return
		}
	}
}

func TestSystemdNightly(t *testing.T) {
	s := startService(t, readUnit(t, nightlyUnit, ""), "-c", "3")
	s.heard(t, "READY=1")
	sendPackets(t, 3)
	s.wait(t, 0)
	checkSummary(t, s.stderr.String(), 3)
	if !strings.Contains(s.stderr.String(), "tunrec: ingest ring") {
		t.Errorf("the unit's capabilities do not suffice for a ring: %s", &s.stderr)
	}
	checkSeries(t, s.state+"/nightly", 1, 3)
}

func TestSystemdRecorder(t *testing.T) {
	unit := readUnit(t, recorderUnit, "tun5")
	s := startService(t, unit)
	events := watchFolder(t, s.state)
	s.heard(t, "READY=1")
	s.heard(t, "WATCHDOG=1")
	if _, err := net.InterfaceByName("tun5"); err != nil {
		t.Error(err)
	}
	sendPackets(t, 2)
	events.await(t, unix.IN_CREATE)
	reload := exec.Command("sh", "-c", unit["ExecReload"])
	reload.Env = []string{"MAINPID=" + strconv.Itoa(s.Process.Pid)}
	must(t, reload.Run())
	events.await(t, unix.IN_CLOSE_WRITE)
	sendPackets(t, 2)
	events.await(t, unix.IN_CREATE)
	must(t, s.Process.Signal(syscall.SIGTERM))
	s.heard(t, "STOPPING=1")
	s.wait(t, 0)
	checkSummary(t, s.stderr.String(), 4)
	checkSeries(t, s.state+"/tun5", 2, 4)
}
