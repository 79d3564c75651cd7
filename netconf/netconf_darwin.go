package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	xroute "golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

const minMTU = 72 // IF_MINMTU of xnu net/if_var.h

// DefaultMTU leaves the system's own: what else a utun takes has not been tried.
const DefaultMTU = 0

// routesNeedAddress: a route has to have an address of its family on the device.
const routesNeedAddress = true

// apply need not bring the device up: a utun is from its start.
func apply(name string, c Config) error {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("configure device %s: %w", name, err)
	}
	if c.MTU != 0 {
		r := newMTURequest(name, c.MTU)
		if err := ioctl(unix.AF_INET, siocSIFMTU, unsafe.Pointer(&r)); err != nil {
			return fmt.Errorf("set mtu %d on %s: %w", c.MTU, name, explain(err))
		}
	}
	for _, a := range c.Addrs {
		if err := addAddr(device, a); err != nil {
			return fmt.Errorf("add address %s to %s: %w", a, name, explain(err))
		}
	}
	pieces, err := c.pieces(systemRoutes)
	if err != nil {
		return fmt.Errorf("look at the routes: %w", err)
	}
	for _, r := range pieces {
		if err := addRoute(device, r); err != nil {
			return fmt.Errorf("add route %s to %s: %w", r, name, explain(err))
		}
	}
	return nil
}

// addAddr also routes the subnet of an address to the device. On a
// point-to-point device macOS itself only routes to the peer and, in IPv6 but
// not in IPv4, to the subnet.
func addAddr(device *net.Interface, a Addr) error {
	if err := setAddr(device.Name, a); err != nil || a.Local.IsSingleIP() {
		return err
	}
	err := addRoute(device, a.Local.Masked())
	if a.Local.Addr().Is6() && errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func setAddr(device string, a Addr) error {
	if a.Local.Addr().Is6() {
		r := newAddr6Request(device, a)
		return ioctl(unix.AF_INET6, siocAIFADDR6, unsafe.Pointer(&r))
	}
	r := newAddrRequest(device, a)
	return ioctl(unix.AF_INET, siocAIFADDR, unsafe.Pointer(&r))
}

// ioctl passes request to the kernel through a socket of the family, which
// decides what part of the kernel understands it.
func ioctl(family int, number uintptr, request unsafe.Pointer) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	//lint:ignore SA1019 x/sys has no wrapper for these requests, and its own libSystem call is not exported
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), number, uintptr(request)); errno != 0 {
		return errno
	}
	return nil
}

func addRoute(device *net.Interface, p netip.Prefix) error {
	message, err := routeMessage(device, p).Marshal()
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, message) // the kernel's verdict is write's errno
	return err
}

// routeMessage asks for a route with a device for its gateway, as route(8) does
// with -interface.
func routeMessage(device *net.Interface, p netip.Prefix) *xroute.RouteMessage {
	m := &xroute.RouteMessage{
		Version: unix.RTM_VERSION,
		Type:    unix.RTM_ADD,
		Flags:   unix.RTF_UP | unix.RTF_STATIC,
		Seq:     1,
		Addrs: []xroute.Addr{
			unix.RTAX_DST:     routeAddr(p.Addr()),
			unix.RTAX_GATEWAY: &xroute.LinkAddr{Index: device.Index, Name: device.Name},
		},
	}
	if p.IsSingleIP() {
		m.Flags |= unix.RTF_HOST
	} else {
		m.Addrs = append(m.Addrs, routeAddr(mask(p))) // RTAX_NETMASK comes after the gateway
	}
	return m
}

func routeAddr(ip netip.Addr) xroute.Addr {
	if ip.Is4() {
		return &xroute.Inet4Addr{IP: ip.As4()}
	}
	return &xroute.Inet6Addr{IP: ip.As16()}
}

// explain adds to an errno what it means here, where that is known.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: this needs root", err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: see netstat -rn for where it goes now", err)
	case errors.Is(err, unix.ENETUNREACH):
		return fmt.Errorf("%w: give the device an address of the same family first", err)
	}
	return err
}

func validateTable(metric, table int) error {
	if metric != 0 || table != 0 {
		return errors.New("a route's metric and table are for Linux: macOS has neither")
	}
	return nil
}

// systemRoutes leaves out the host routes that the kernel clones from others as
// it goes. There is but one table.
func systemRoutes(add func(route)) error {
	rib, err := xroute.FetchRIB(unix.AF_UNSPEC, xroute.RIBTypeRoute, 0)
	if err != nil {
		return err
	}
	messages, err := xroute.ParseRIB(xroute.RIBTypeRoute, rib)
	if err != nil {
		return err
	}
	for _, m := range messages {
		r, ok := m.(*xroute.RouteMessage)
		if !ok || r.Flags&unix.RTF_WASCLONED != 0 {
			continue
		}
		to, ok := destination(r)
		if !ok {
			continue
		}
		found := route{to: to, device: r.Index, table: mainTable}
		if r.Flags&unix.RTF_GATEWAY != 0 && len(r.Addrs) > unix.RTAX_GATEWAY {
			if via, ok := addrOf(r.Addrs[unix.RTAX_GATEWAY]); ok {
				found.via = []netip.Addr{via}
			}
		}
		add(found)
	}
	return nil
}

// destination is a host where the message has no mask. The sockaddr of a mask
// ends at its last byte that is not 0, which ParseRIB fills up.
func destination(r *xroute.RouteMessage) (netip.Prefix, bool) {
	ip, ok := addrOf(r.Addrs[unix.RTAX_DST])
	if !ok {
		return netip.Prefix{}, false
	}
	bits := ip.BitLen()
	if r.Flags&unix.RTF_HOST == 0 && len(r.Addrs) > unix.RTAX_NETMASK {
		if m, ok := addrOf(r.Addrs[unix.RTAX_NETMASK]); ok {
			ones, size := net.IPMask(m.AsSlice()).Size()
			if size == 0 { // a mask with holes
				return netip.Prefix{}, false
			}
			bits = ones
		}
	}
	return netip.PrefixFrom(ip, bits), true
}

func addrOf(a xroute.Addr) (netip.Addr, bool) {
	switch a := a.(type) {
	case *xroute.Inet4Addr:
		return netip.AddrFrom4(a.IP), true
	case *xroute.Inet6Addr:
		return netip.AddrFrom16(a.IP), true
	}
	return netip.Addr{}, false
}
