//go:build linux || darwin

package tun

import (
	"errors"
	"sync"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// opening is held while water works: closeAbandoned must find only descriptors of its own.
var opening sync.Mutex

// openWater has water make the device and returns a descriptor of it, close-on-exec
// and non-blocking, and the name that the kernel gave. water's own descriptor is
// closed: it is not close-on-exec, and a finalizer hangs on it.
func openWater(name string) (fd int, actual string, err error) {
	opening.Lock()
	defer opening.Unlock()
	syscall.ForkLock.RLock() // no child is to inherit water's descriptor
	defer syscall.ForkLock.RUnlock()

	config := water.Config{DeviceType: water.TUN}
	config.Name = name
	ifce, err := water.New(config)
	if err != nil {
		closeAbandoned()
		return -1, "", err
	}
	fd, err = dup(ifce)
	if err := errors.Join(err, ifce.Close()); err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return -1, "", err
	}
	return fd, ifce.Name(), nil
}
