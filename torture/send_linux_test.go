package torture

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/tunrec/tunrec/internal/load"
	"github.com/tunrec/tunrec/internal/namespace"
)

// firstPort is where the first stream goes; each has a port of its own, so that
// every packet has a name: port and number.
const firstPort = 20000

// stream is one run of the sender.
type stream struct {
	load.Result
	to netip.AddrPort
}

// streams are all that a try has sent.
type streams struct {
	mu      sync.Mutex
	all     []*stream
	cancels []context.CancelFunc
	running sync.WaitGroup
}

// sent is how many packets the kernel has taken.
func (s *streams) sent() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		n += one.Sent
	}
	return n
}

func (s *streams) add(to netip.Addr) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := &stream{to: netip.AddrPortFrom(to, uint16(firstPort+len(s.all)))}
	s.all = append(s.all, one)
	return one
}

// stop ends all senders that run beside the test.
func (s *streams) stop() {
	s.mu.Lock()
	cancels := s.cancels
	s.cancels = nil
	s.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
	s.running.Wait()
}

// run sends one stream from the rig's namespace. What the kernel refuses because
// the device is not there, or not up, was not sent.
func (g *rig) run(ctx context.Context, c load.Config) error {
	one := g.streams.add(netip.MustParseAddr(peer))
	if c.Dst.IsValid() {
		one.to = netip.AddrPortFrom(c.Dst.Addr(), one.to.Port())
	}
	c.Dst = one.to
	return namespace.Do(fmt.Sprintf("/proc/self/fd/%d", g.netns.Fd()), func() error {
		r, err := load.Send(ctx, c)
		g.streams.mu.Lock()
		defer g.streams.mu.Unlock()
		one.Result = r
		return err
	})
}

// send sends packets, and returns how many the kernel took.
func (g *rig) send(packets, payload, perSecond int) uint64 {
	g.t.Helper()
	before := g.streams.sent()
	g.must(g.run(context.Background(), load.Config{
		Packets: uint64(packets), PayloadBytes: payload, PacketsPerSecond: perSecond, Random: true,
	}))
	return g.streams.sent() - before
}

// traffic sends beside the test until streams.stop, also where the device comes
// and goes.
func (g *rig) traffic(payload, perSecond int) {
	g.trafficOf(load.Config{PayloadBytes: payload, PacketsPerSecond: perSecond, Random: true})
}

func (g *rig) trafficOf(c load.Config) {
	ctx, cancel := context.WithCancel(context.Background())
	g.streams.mu.Lock()
	g.streams.cancels = append(g.streams.cancels, cancel)
	g.streams.mu.Unlock()
	c.Packets = 1 << 40
	g.streams.running.Go(func() {
		for ctx.Err() == nil {
			if g.run(ctx, c) != nil && ctx.Err() == nil {
				time.Sleep(20 * time.Millisecond) // no device, for now
			}
		}
	})
}

// flowing waits until packets have come to the device.
func (g *rig) flowing() {
	g.t.Helper()
	g.eventually("packets at the device", func() bool {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return false
		}
		s := l.Attrs().Statistics // what the ring takes counts as dropped
		return s.TxPackets+s.TxDropped > 10
	})
}

// refusals are packets that the kernel had no buffers for: their numbers are missing.
func (s *streams) refusals() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		n += int64(one.NoBuffers)
	}
	return n
}
