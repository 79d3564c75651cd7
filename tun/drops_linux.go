package tun

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// linkDrops reads the tx_dropped of a device by RTM_GETLINK, on a socket that
// stays in the network namespace it was opened in and needs no privilege.
type linkDrops struct {
	nl    *netlink.Handle
	index int
	base  uint64 // tx_dropped at open
}

func newLinkDrops(nl *netlink.Handle, index int) (*linkDrops, error) {
	base, err := txDropped(nl, index)
	return &linkDrops{nl, index, base}, err
}

func (l *linkDrops) count() (n uint64, exact bool, err error) {
	now, err := txDropped(l.nl, l.index)
	return now - l.base, true, err
}

func (l *linkDrops) close() { l.nl.Close() }

func txDropped(nl *netlink.Handle, index int) (uint64, error) {
	link, err := nl.LinkByIndex(index)
	if err != nil {
		return 0, err
	}
	stats := link.Attrs().Statistics
	if stats == nil {
		return 0, errors.New("the kernel gave no statistics")
	}
	return stats.TxDropped, nil
}
