package netconf

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// The ioctl requests of macOS (xnu bsd/sys/sockio.h, net/if.h, netinet/in_var.h,
// netinet6/in6_var.h). They are built here, not in a file for macOS only, so
// that every system tests their bytes. All Macs are little-endian.
//
// An ioctl number holds the length of its request in bits 16 to 28.
const (
	siocSIFMTU   = 0x80206934 // 32 bytes
	siocAIFADDR  = 0x8040691a // 64 bytes
	siocAIFADDR6 = 0x8080691a // 128 bytes, SIOCAIFADDR_IN6
)

type (
	mtuRequest   [siocSIFMTU >> 16 & 0x1fff]byte
	addrRequest  [siocAIFADDR >> 16 & 0x1fff]byte
	addr6Request [siocAIFADDR6 >> 16 & 0x1fff]byte
)

// The numbers above and the layouts below have to agree.
var (
	_ [32]byte  = mtuRequest{}
	_ [64]byte  = addrRequest{}
	_ [128]byte = addr6Request{}
)

const (
	darwinINET      = 2
	darwinINET6     = 30
	in6IFFNoDAD     = 0x20
	infiniteLifeSec = 0xffffffff
)

// newMTURequest fills a struct ifreq:
//
//	0  name  char[16]
//	16 mtu   int32
//	20 the rest of the union
func newMTURequest(device string, mtu int) (r mtuRequest) {
	copy(r[:16], device)
	binary.LittleEndian.PutUint32(r[16:], uint32(mtu))
	return r
}

// newAddrRequest fills a struct ifaliasreq:
//
//	0  name         char[16]
//	16 address      sockaddr_in
//	32 destination  sockaddr_in
//	48 mask         sockaddr_in
func newAddrRequest(device string, a Addr) (r addrRequest) {
	local := a.Local.Addr()
	destination := local // utun is point-to-point and wants one: ifconfig gives it this
	if a.Peer.IsValid() {
		destination = a.Peer
	}
	copy(r[:16], device)
	putSockaddr(r[16:32], local)
	putSockaddr(r[32:48], destination)
	putSockaddr(r[48:64], mask(a.Local))
	return r
}

// newAddr6Request fills a struct in6_aliasreq. The destination stays zero where
// there is no peer, and with one the mask has to be of 128 bits.
//
//	0   name         char[16]
//	16  address      sockaddr_in6
//	44  destination  sockaddr_in6
//	72  mask         sockaddr_in6
//	100 flags        int32
//	104 expires      int64, set by the kernel
//	112 deprecated   int64, set by the kernel
//	120 valid        uint32, seconds
//	124 preferred    uint32, seconds
func newAddr6Request(device string, a Addr) (r addr6Request) {
	copy(r[:16], device)
	putSockaddr(r[16:44], a.Local.Addr())
	if a.Peer.IsValid() {
		putSockaddr(r[44:72], a.Peer)
	}
	putSockaddr(r[72:100], mask(a.Local))
	// Nobody on the device could answer a duplicate address probe.
	binary.LittleEndian.PutUint32(r[100:], in6IFFNoDAD)
	binary.LittleEndian.PutUint32(r[120:], infiniteLifeSec)
	binary.LittleEndian.PutUint32(r[124:], infiniteLifeSec)
	return r
}

// putSockaddr fills b with a sockaddr_in (16 bytes: length, family, port,
// address, zeros) or a sockaddr_in6 (28 bytes: length, family, port, flow,
// address, scope).
func putSockaddr(b []byte, ip netip.Addr) {
	b[0] = byte(len(b))
	if ip.Is4() {
		b[1] = darwinINET
		copy(b[4:], ip.AsSlice())
		return
	}
	b[1] = darwinINET6
	copy(b[8:], ip.AsSlice())
}

// mask returns the mask of p's length, written as an address.
func mask(p netip.Prefix) netip.Addr {
	m, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	return m
}
