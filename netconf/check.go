package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Conflict is why a device must not be configured as asked.
type Conflict struct {
	What    string // of the Config: "route 192.0.2.0/24"
	With    string // of the machine: "192.0.2.128/25 is routed to eth0"
	Instead string // "leave it out with --exclude 192.0.2.128/25"
}

func (c *Conflict) Error() string { return c.What + ": " + c.With + ": " + c.Instead }

// Check compares a Config with what the machine has, in the network namespace of
// the calling thread, and changes nothing. It refuses
//
//   - an address or a peer on a network that the machine is on or has a route to;
//   - a route, or the subnet of an address, that would take a default gateway or
//     one of lifelines into the device;
//   - a route with a route of the machine inside it, which would go on leading
//     elsewhere. A default route stands back behind those by its nature, but
//     where the machine has one already, something has to be in Exclude.
//
// Routes in a table of their own (Config.Table) take nothing from anybody. The
// error joins every *Conflict, or says what could not be looked at.
func Check(c Config, lifelines []Lifeline) error {
	if err := c.Validate(); err != nil {
		return err
	}
	conflicts, err := c.addressConflicts()
	if err == nil {
		var more []error
		more, err = c.routeConflicts(systemRoutes, deviceNames(), lifelines)
		conflicts = append(conflicts, more...)
	}
	if err != nil {
		return fmt.Errorf("look at the machine's addresses and routes: %w", err)
	}
	return errors.Join(conflicts...)
}

func deviceNames() map[int]string {
	names := map[int]string{}
	devices, _ := net.Interfaces() // names only make messages better
	for _, d := range devices {
		names[d.Index] = d.Name
	}
	return names
}

func (c Config) addressConflicts() (conflicts []error, err error) {
	inUse, err := claims(func(p netip.Prefix) bool {
		// Link-local networks are each device's own.
		return !p.Addr().IsLinkLocalUnicast() && slices.ContainsFunc(c.Addrs, func(a Addr) bool {
			return p.Contains(a.Local.Addr()) || p.Overlaps(a.destination())
		})
	})
	if err != nil {
		return nil, err
	}
	for _, a := range c.Addrs {
		obstacle := firstClaim(inUse, a)
		if obstacle == "" {
			continue
		}
		instead, err := another(a)
		if err != nil {
			return nil, err
		}
		conflicts = append(conflicts, &Conflict{"address " + a.String(), obstacle, instead})
	}
	return conflicts, nil
}

// another says what to use in the place of a.
func another(a Addr) (string, error) {
	pair, block := pair4, pairs4
	if a.Local.Addr().Is6() {
		pair, block = pair6, pairs6
	}
	inUse, err := claims(block.Overlaps)
	if err != nil {
		return "", err
	}
	free, _, ok := freePair(pair, inUse, func(Addr) bool { return true })
	if !ok {
		return "use an address of a network that this machine does not use", nil
	}
	return "use another, as --addr " + free.String(), nil
}

// taken is a part of the address space that goes into the device, and why.
type taken struct {
	netip.Prefix
	what    string
	exclude bool // it can be cut
}

func (c Config) taken(system eachRoute) (all []taken, err error) {
	for _, a := range c.Addrs {
		all = append(all, taken{a.destination(), "address " + a.String(), false})
	}
	if c.Table != 0 {
		return all, nil
	}
	pieces, err := c.pieces(system)
	for _, p := range pieces {
		for _, r := range c.Routes {
			if covers(r, p) {
				all = append(all, taken{p, "route " + r.String(), true})
				break
			}
		}
	}
	return all, err
}

func (c Config) routeConflicts(system eachRoute, names map[int]string, lifelines []Lifeline) ([]error, error) {
	inside, gateways, err := c.survey(system, names)
	if err != nil {
		return nil, err
	}
	conflicts := inside
	into, err := c.taken(system)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(lifelines)
	for _, g := range gateways {
		all = append(all, g.hops...)
	}
	lost, err := swallowed(system, into, all)
	if err != nil {
		return nil, err
	}
	conflicts = append(conflicts, lost...)
	if len(conflicts) == 0 {
		conflicts = c.defaultConflicts(gateways)
	}
	return conflicts, nil
}

// gateway is a default route of the machine.
type gateway struct {
	to   netip.Prefix
	text string // "0.0.0.0/0 is routed to eth0"
	hops []Lifeline
}

// survey finds, for each of c.Routes, a route of the machine inside it, and the
// default routes.
func (c Config) survey(system eachRoute, names map[int]string) (inside []error, gateways []gateway, err error) {
	told := make([]bool, len(c.Routes))
	err = system(func(r route) {
		if r.table != mainTable {
			return
		}
		if r.to.Bits() == 0 {
			g := gateway{to: r.to, text: r.describe(names)}
			for _, via := range r.via {
				g.hops = append(g.hops, Lifeline{via, "the default gateway"})
			}
			gateways = append(gateways, g)
			return
		}
		for i, mine := range c.Routes {
			// In a default route everything is inside: only one like it is an obstacle.
			if told[i] || c.Table != 0 || !covers(mine, r.to) || mine.Bits() <= 1 && r.to.Bits() > 1 {
				continue
			}
			if slices.ContainsFunc(c.Exclude, func(e netip.Prefix) bool { return covers(e, r.to) }) {
				continue
			}
			told[i] = true
			instead := "leave it out with --exclude " + r.to.String()
			if r.to == mine || r.to.Bits() == 1 {
				instead = "route only a part of it, or remove that route first"
			}
			inside = append(inside, &Conflict{"route " + mine.String(), r.describe(names), instead})
		}
	})
	return inside, gateways, err
}

// swallowed finds the lifelines that go into the device. One that nothing leads to
// now cannot be lost.
func swallowed(system eachRoute, into []taken, lifelines []Lifeline) (conflicts []error, err error) {
	length := make([]int, len(lifelines)) // of the longest route that leads to each, and 1
	err = system(func(r route) {
		for i, l := range lifelines {
			if r.table != otherTable && r.to.Contains(l.Addr) {
				length[i] = max(length[i], r.to.Bits()+1)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for i, l := range lifelines {
		for _, t := range into {
			if length[i] == 0 || !t.Contains(l.Addr) || t.Bits() < length[i]-1 {
				continue
			}
			instead := "use another address"
			if t.exclude {
				instead = "leave it out with --exclude " + l.Addr.String()
			}
			conflicts = append(conflicts, &Conflict{t.what, fmt.Sprintf("would take %s, %s, into the device", l.What, l.Addr), instead})
		}
	}
	return conflicts, nil
}

// defaultConflicts asks for an exception where a default route would take what
// the machine's own leads to.
func (c Config) defaultConflicts(gateways []gateway) (conflicts []error) {
	for _, r := range c.Routes {
		isMine := func(p netip.Prefix) bool { return covers(r, p) }
		if r.Bits() > 0 || c.Table != 0 || slices.ContainsFunc(c.Exclude, isMine) {
			continue
		}
		for _, g := range gateways {
			if g.to == r {
				conflicts = append(conflicts, &Conflict{"route " + r.String(), g.text,
					"name with --exclude what has to stay outside the device"})
				break
			}
		}
	}
	return conflicts
}
