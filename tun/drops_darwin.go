package tun

import (
	"net"
	"unsafe"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// The offsets of iflist.go, held against golang.org/x/sys.
var (
	_ [ifMsghdr2Len]byte      = [unsafe.Sizeof(unix.IfMsghdr2{})]byte{}
	_ [ifMsghdr2Index]byte    = [unsafe.Offsetof(unix.IfMsghdr2{}.Index)]byte{}
	_ [ifMsghdr2SndDrops]byte = [unsafe.Offsetof(unix.IfMsghdr2{}.Snd_drops)]byte{}
	_ [ifMsghdr2Oerrors]byte  = [unsafe.Offsetof(unix.IfMsghdr2{}.Data) + unsafe.Offsetof(unix.IfData64{}.Oerrors)]byte{}
	_ [routeMessageType]byte  = [unsafe.Offsetof(unix.IfMsghdr2{}.Type)]byte{}
	_ [rtmIfinfo2]byte        = [unix.RTM_IFINFO2]byte{}
)

// utunDrops reads the counters of a device from the routing table's list of
// interfaces. They miss what is dropped before the send queue.
type utunDrops struct {
	index int
	base  uint64
}

func newUtunDrops(name string) (*utunDrops, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	base, err := utunDropped(ifi.Index)
	return &utunDrops{ifi.Index, base}, err
}

func (u *utunDrops) count() (n uint64, exact bool, err error) {
	now, err := utunDropped(u.index)
	return now - u.base, false, err
}

func (*utunDrops) inexact() string { return "" } // it always is

func (*utunDrops) close() {}

func utunDropped(index int) (uint64, error) {
	list, err := route.FetchRIB(unix.AF_UNSPEC, unix.NET_RT_IFLIST2, index)
	if err != nil {
		return 0, err
	}
	return parseDrops(list, index)
}
