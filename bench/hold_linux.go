package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/tun"
)

// hold makes a device and throws its packets away until SIGINT. It is for
// contestants that tap a device: an eBPF filter refuses every packet after the
// taps have seen it, at the least price that a sender can pay for it.
func hold(name string) error {
	iface, file, err := openDevice(name)
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(iface) // its finalizer closes the device
	refuse, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.SocketFilter,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "Apache-2.0",
	})
	if err != nil {
		return fmt.Errorf("loading a filter: %w", err)
	}
	defer refuse.Close()
	if err := attach(file, refuse); err != nil {
		return fmt.Errorf("attaching a filter to %s: %w", name, err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT)
	fmt.Print(bareReady)
	<-stop
	discarded, err := txDropped(name)
	fmt.Printf(bareClosing, discarded, 0)
	return err
}

// txDropped is what the kernel has counted of the packets that the device did
// not take.
func txDropped(name string) (uint64, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return link.Attrs().Statistics.TxDropped, nil
}

func attach(device *os.File, p *ebpf.Program) error {
	conn, err := device.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = unix.IoctlSetPointerInt(int(fd), unix.TUNSETFILTEREBPF, p.FD())
	})
	if err != nil {
		return err
	}
	return failed
}

// openDevice makes a device as a plain program does, but set up as tunrec sets
// up its own: as long a queue, before it a pfifo, no packets of the kernel's,
// the same addresses.
func openDevice(name string) (*water.Interface, *os.File, error) {
	iface, err := water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("making device %s: %w", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, nil, err
	}
	if err := netlink.LinkSetTxQLen(link, tun.DefaultQueueLen); err != nil {
		return nil, nil, fmt.Errorf("queue of %s: %w", name, err)
	}
	queue := netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT}
	if err := netlink.QdiscReplace(&netlink.GenericQdisc{QdiscAttrs: queue, QdiscType: "pfifo"}); err != nil {
		return nil, nil, fmt.Errorf("pfifo of %s: %w", name, err)
	}
	if err := netlink.LinkSetIP6AddrGenMode(link, nl.IN6_ADDR_GEN_MODE_NONE); err != nil {
		return nil, nil, fmt.Errorf("addresses of %s: %w", name, err)
	}
	return iface, iface.ReadWriteCloser.(*os.File), address(name)
}

// address gives the device the addresses that all contestants have, and sets it up.
func address(name string) error {
	addr, err := netconf.ParseAddr(deviceLocal + "," + devicePeer)
	if err != nil {
		return err
	}
	return netconf.Apply(name, netconf.Config{Addrs: []netconf.Addr{addr}})
}
