package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// host is a network namespace: a thread that lives in it and does what it is
// asked to. Sockets made there stay there and can be used from anywhere.
type host struct {
	calls chan func() // closed by close; the thread and the namespace then end
	v4    netip.Addr
	v6    netip.Addr
	dev   *water.Interface
}

func newHost(v4, v6 string) (*host, error) {
	h := &host{calls: make(chan func()), v4: netip.MustParseAddr(v4), v6: netip.MustParseAddr(v6)}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.New()
		if err == nil {
			err = ns.Close() // the thread holds the namespace
		}
		started <- err
		for call := range h.calls {
			call()
		}
	}()
	if err := <-started; err != nil {
		close(h.calls)
		return nil, fmt.Errorf("making a network namespace (needs root): %w", err)
	}
	return h, nil
}

// do runs f in the namespace. f must not call do.
func (h *host) do(f func() error) error {
	done := make(chan error)
	h.calls <- func() { done <- f() }
	return <-done
}

func (h *host) close() {
	if h.dev != nil {
		h.dev.Close()
	}
	close(h.calls)
}

// plug makes the device and gives it the host's addresses.
func (h *host) plug(kind water.DeviceType, name string, mtu int, mac string) error {
	return h.do(func() (err error) {
		config := water.Config{DeviceType: kind, PlatformSpecificParams: water.PlatformSpecificParams{Name: name}}
		if h.dev, err = water.New(config); err != nil {
			return fmt.Errorf("making the device %s: %w", name, err)
		}
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if kind == water.TAP {
			hardware, err := net.ParseMAC(mac)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetHardwareAddr(link, hardware); err != nil {
				return err
			}
		}
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("setting the MTU of %s to %d: %w", name, mtu, err)
		}
		return h.bringUp(link)
	})
}

// bringUp runs in the namespace. No addresses but the host's: those that the
// kernel makes up itself would bring its own traffic into the captures.
func (h *host) bringUp(link netlink.Link) error {
	const genModeNone = 1 // IN6_ADDR_GEN_MODE_NONE of linux/if_link.h
	if err := netlink.LinkSetIP6AddrGenMode(link, genModeNone); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for prefix, flags := range map[netip.Prefix]int{
		netip.PrefixFrom(h.v4, 24): 0,
		netip.PrefixFrom(h.v6, 64): unix.IFA_F_NODAD, // usable at once
	} {
		addr, err := netlink.ParseAddr(prefix.String())
		if err != nil {
			return err
		}
		addr.Flags = flags
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("adding %v to %s: %w", prefix, link.Attrs().Name, err)
		}
	}
	return nil
}

// network is a client and a server and the wire between them.
type network struct {
	ctx            context.Context
	client, server *host
	wire           sync.WaitGroup
}

// newNetwork joins two hosts by devices of one kind and name. Frames cross in
// order, through this process, so that both kernels finish every checksum.
func newNetwork(ctx context.Context, kind water.DeviceType, device string, mtu int) (*network, error) {
	n := &network{ctx: ctx}
	if err := n.assemble(kind, device, mtu); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *network) assemble(kind water.DeviceType, device string, mtu int) (err error) {
	if n.client, err = newHost("192.0.2.1", "2001:db8::1"); err != nil {
		return err
	}
	if n.server, err = newHost("192.0.2.2", "2001:db8::2"); err != nil {
		return err
	}
	// MAC addresses for documentation: RFC 9542.
	if err := n.client.plug(kind, device, mtu, "00:00:5e:00:53:01"); err != nil {
		return err
	}
	if err := n.server.plug(kind, device, mtu, "00:00:5e:00:53:02"); err != nil {
		return err
	}
	n.wire.Go(func() { carry(n.client.dev, n.server.dev) })
	n.wire.Go(func() { carry(n.server.dev, n.client.dev) })
	return nil
}

// carry ends when either device is closed.
func carry(from, to *water.Interface) {
	frame := make([]byte, 1<<16+64)
	for {
		size, err := from.Read(frame)
		if err != nil {
			return
		}
		if _, err := to.Write(frame[:size]); err != nil {
			return
		}
	}
}

func (n *network) close() {
	for _, h := range []*host{n.client, n.server} {
		if h != nil {
			h.close()
		}
	}
	n.wire.Wait()
}
