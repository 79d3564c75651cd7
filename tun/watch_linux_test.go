package tun

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is done to a device while packets wait in it, and what Notice is then told;
// "" is nothing, since no packet is lost by it.
var upheavals = map[string]struct {
	do        func(t *testing.T, link netlink.Link)
	read, own string // with a queue of its own, with a ring
}{
	"nothing":         {func(*testing.T, netlink.Link) {}, "", ""},
	"shorter queue":   {func(t *testing.T, l netlink.Link) { setQueue(t, l, 10) }, "its queue was shortened from 10000 to 10 packets", ""},
	"shorter between": {func(t *testing.T, l netlink.Link) { setQueue(t, l, 10); setQueue(t, l, DefaultQueueLen) }, "its queue was shortened", ""},
	"longer queue":    {func(t *testing.T, l netlink.Link) { setQueue(t, l, 2*DefaultQueueLen) }, "", ""},
	"down and up": {func(t *testing.T, l netlink.Link) {
		must(t, netlink.LinkSetDown(l), netlink.LinkSetUp(l))
	}, "it was set down", "it was set down"},
	"down and shorter": {func(t *testing.T, l netlink.Link) {
		must(t, netlink.LinkSetDown(l))
		setQueue(t, l, 10)
	}, "it was set down", "it was set down"},
	"another qdisc": {func(t *testing.T, l netlink.Link) {
		must(t, netlink.QdiscReplace(&netlink.Tbf{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
			Rate:       1 << 20, Buffer: 1 << 20, Limit: 1 << 20,
		}))
	}, "its queueing discipline was changed", "its queueing discipline was changed"},
	"another namespace": {func(t *testing.T, l netlink.Link) { must(t, netlink.LinkSetNsFd(l, elsewhere(t))) }, "it was removed, or moved", "it was removed, or moved"},
	"deleted":           {func(t *testing.T, l netlink.Link) { must(t, netlink.LinkDel(l)) }, "it was removed, or moved", "it was removed, or moved"},
	"another name":      {func(t *testing.T, l netlink.Link) { must(t, netlink.LinkSetName(l, "renamed")) }, "", ""},
	"another MTU":       {func(t *testing.T, l netlink.Link) { must(t, netlink.LinkSetMTU(l, 1400)) }, "", ""},
	"another address": {func(t *testing.T, l netlink.Link) {
		must(t, netlink.AddrAdd(l, &netlink.Addr{IPNet: netlink.NewIPNet([]byte{192, 0, 2, 1})}))
	}, "", ""},
	"another device": {func(t *testing.T, l netlink.Link) {
		other := openTest(t, Config{Ingest: IngestRead})
		must(t, netlink.LinkSetUp(linkOf(t, other)), netlink.LinkSetDown(linkOf(t, other)))
		setQueue(t, linkOf(t, other), 1)
	}, "", ""},
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func setQueue(t *testing.T, l netlink.Link, n int) {
	t.Helper()
	must(t, netlink.LinkSetTxQLen(l, n))
}

// elsewhere is a network namespace that ends with the test.
func elsewhere(t *testing.T) (fd int) {
	t.Helper()
	err := onDoomedThread(t, func() (err error) {
		fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// Where the kernel may have thrown packets away, the count says that it is a lower
// bound, and why; where it has not, every packet is accounted for.
func TestUpheavals(t *testing.T) {
	for name, u := range upheavals {
		t.Run(name, func(t *testing.T) {
			t.Run("read", func(t *testing.T) { testUpheaval(t, IngestRead, u.do, u.read) })
			t.Run("ring", func(t *testing.T) { testUpheaval(t, IngestRing, u.do, u.own) })
		})
	}
}

func testUpheaval(t *testing.T, kind IngestKind, do func(*testing.T, netlink.Link), want string) {
	var told []string
	d, conn := upDevice(t, Config{Ingest: kind, Notice: func(why string) { told = append(told, why) }}, 1500)
	const packets = 100
	for range packets {
		send(t, conn, []byte("before"))
	}
	if n := dropsOf(t, d); n != 0 || len(told) > 0 {
		t.Fatalf("%d drops before, told %q", n, told)
	}
	link := linkOf(t, d)
	do(t, link)
	read, dst := uint64(0), make([]byte, MaxPacket)
	for n, err := 1, error(nil); n > 0 && !errors.Is(err, ErrDeleted); {
		if n, _, _, err = d.Next(dst, nil); n > 0 {
			read++
		}
	}
	for range 2 {
		n, exact, err := d.Drops()
		if err != nil || exact != (want == "") {
			t.Errorf("drops %d, exact %t, %v", n, exact, err)
		}
		if exact && read+n != packets {
			t.Errorf("an exact count of %d drops, and %d of %d packets read", n, read, packets)
		}
	}
	isWant := func(why string) bool { return strings.HasPrefix(why, want) }
	if want == "" && len(told) > 0 || want != "" && (len(told) != 1 || !slices.ContainsFunc(told, isWant)) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// What happens to it is also heard of a device that was there before.
func TestUpheavalOfAttached(t *testing.T) {
	newNamespace(t)
	ip(t, "tuntap add there mode tun")
	ip(t, "link set there addrgenmode none")
	why := ""
	d := openTest(t, Config{Name: "there", Attach: true, Notice: func(w string) { why = w }})
	bringUp(t, d, 1500)
	dropsOf(t, d)
	setQueue(t, linkOf(t, d), 1)
	if _, exact, err := d.Drops(); exact || err != nil || !strings.HasPrefix(why, "its queue was shortened") {
		t.Errorf("exact %t, %v, told %q", exact, err, why)
	}
}
