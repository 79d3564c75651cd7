// Package namespace does something in another network namespace of this
// machine, as ip-netns(8) names them.
package namespace

// Do runs f, and nothing else, in the network namespace of that name, and returns
// the error of f. The name is that of a
// file in /run/netns, or a path to a namespace, such as /proc/4242/ns/net.
//
// What f opens there (a device, a socket) stays there and can be used from
// everywhere. Goroutines that f starts are not in the namespace.
//
// It fails with an error that errors.Is tells to be
//
//	os.ErrNotExist         there is no such namespace
//	os.ErrPermission       neither root nor CAP_SYS_ADMIN
//	errors.ErrUnsupported  not Linux
func Do(name string, f func() error) error { return do(name, f) }
