package tun

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func ip(t *testing.T, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

// TestAttach records from a device of another owner's, and leaves it as it was.
func TestAttach(t *testing.T) {
	for _, kind := range []string{"", " multi_queue"} {
		t.Run("tun"+kind, func(t *testing.T) {
			newNamespace(t)
			ip(t, "tuntap add theirs mode tun user 65534 group 65534"+kind)
			ip(t, "link set theirs txqueuelen 77 mtu 1400 addrgenmode none up")
			ip(t, "addr add "+testAddr+" peer "+testPeer+" dev theirs")
			shown := func() string { return ip(t, "-d -o link show theirs") + ip(t, "-4 addr show theirs") }
			before := shown()

			files := descriptors(t)
			d, err := Open(Config{Name: "theirs", Attach: true})
			if err != nil {
				t.Fatal(err)
			}
			if !d.Attached() || d.IngestName() != "read" || d.HoldsPackets() != 77 {
				t.Errorf("attached %t, ingest %s, holds %d", d.Attached(), d.IngestName(), d.HoldsPackets())
			}
			// The kernel notices some time later that there is a reader now, but at
			// once when the device is brought up.
			ip(t, "link set theirs down")
			ip(t, "link set theirs up")
			conn := dialPeer(t)
			send(t, conn, []byte("to theirs"))
			if got := nextWith(t, d, "to theirs"); got == "" {
				t.Error("nothing came")
			}
			if n, _, err := d.Drops(); n != 0 || err != nil {
				t.Errorf("%d dropped, %v", n, err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if now := descriptors(t); len(now) != len(files)+1 { // conn
				t.Errorf("open files were %q, are %q", files, now)
			}
			if now := shown(); now != before {
				t.Errorf("the device is\n%s\nbefore\n%s", now, before)
			}
		})
	}
}

// nextWith returns the first packet with the text.
func nextWith(t *testing.T, d *Device, text string) string {
	t.Helper()
	packet := make([]byte, MaxPacket)
	for {
		n, _, _, err := d.Next(packet, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			if err := d.Wait(-1); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(packet[:n]); strings.Contains(got, text) {
			return got
		}
	}
}

func TestAttachRefuses(t *testing.T) {
	newNamespace(t)
	// Names that are nowhere else, because holders are looked for everywhere.
	ours := openTest(t, Config{Name: fmt.Sprintf("ours%d", os.Getpid())})
	queues := fmt.Sprintf("queues%d", os.Getpid())
	ip(t, "tuntap add frames mode tap")
	ip(t, "tuntap add headers mode tun pi")
	ip(t, "tuntap add "+queues+" mode tun multi_queue")
	busy, err := openQueue(queues, true)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(busy)
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	us := fmt.Sprintf("process %d (%s)", os.Getpid(), strings.TrimSpace(string(comm)))
	files := descriptors(t)
	for name, want := range map[string]string{
		"lo":      "device lo exists already, and is no tun device: choose another name",
		"frames":  "device frames is a tap device, with Ethernet frames: choose another name",
		"headers": "device headers puts headers of its own before packets: make it anew without pi and vnet_hdr",
		ours.name: "device " + ours.name + " is held by " + us + ": stop that, or choose another name",
		queues:    "device " + queues + " is held by " + us + ": stop that, or choose another name",
	} {
		if _, err := Open(Config{Name: name, Attach: true}); !errors.Is(err, os.ErrExist) || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if now := descriptors(t); len(now) != len(files) {
		t.Errorf("open files were %q, are %q", files, now)
	}
	// As if the device had been taken, or removed, after our look at it.
	if _, err := openQueue(ours.name, false); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), us) {
		t.Errorf("taken: %v", err)
	}
	if _, err := openQueue("gone", false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	for _, name := range linkNames(t) {
		if name == "gone" {
			t.Error("a device was made")
		}
	}
}

// The owner of a device needs no privilege, another user does.
func TestAttachWithoutPrivilege(t *testing.T) {
	for owner, want := range map[string]error{"0": nil, "4242": os.ErrPermission} {
		err := onDoomedThread(t, func() error {
			if out, err := exec.Command("ip", "tuntap", "add", "theirs", "mode", "tun", "user", owner).CombinedOutput(); err != nil {
				return fmt.Errorf("ip tuntap add: %w: %s", err, out)
			}
			if err := dropCapabilities(); err != nil {
				return err
			}
			d, err := Open(Config{Name: "theirs", Attach: true})
			if err != nil {
				return err
			}
			return d.Close()
		})
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("of user %s: %v, want %v", owner, err, want)
		}
	}
}

func TestAttachMakesWhatIsMissing(t *testing.T) {
	newNamespace(t)
	if d := openTest(t, Config{Name: "new", Attach: true}); d.Attached() {
		t.Error("attached to a device that was not there")
	}
	if d := openTest(t, Config{Attach: true}); d.Attached() {
		t.Error("attached to no name")
	}
}
