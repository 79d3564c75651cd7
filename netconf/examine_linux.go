package netconf

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var topics = []string{TopicDevice, TopicForwarding, TopicRPFilter, TopicRoute, TopicHops, TopicMTU}

// examination is one Examine.
type examination struct {
	Config
	name  string
	link  netlink.Link // nil: it is still to be made
	to    []netip.Prefix
	names map[int]string
	found []Obstacle
}

func examine(name string, c Config) ([]Obstacle, []netip.Prefix, error) {
	to, err := c.pieces(systemRoutes)
	if err != nil {
		return nil, nil, err
	}
	e := &examination{Config: c, to: to, names: deviceNames()}
	if name != "" {
		link, err := netlink.LinkByName(name)
		if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil, nil, err
		}
		e.link = link
	}
	e.name = cmp.Or(name, "tun0")
	if e.link != nil {
		if err := e.device(); err != nil {
			return nil, nil, err
		}
	}
	e.forwarding()
	if err := e.reversePath(); err != nil {
		return nil, nil, err
	}
	if err := e.routes(); err != nil {
		return nil, nil, err
	}
	e.hops()
	e.mtu()
	return e.found, e.destinations(), nil
}

func (e *examination) grave(topic, mend, format string, args ...any) {
	e.found = append(e.found, Obstacle{topic, fmt.Sprintf(format, args...), mend, true})
}

func (e *examination) slight(topic, mend, format string, args ...any) {
	e.found = append(e.found, Obstacle{topic, fmt.Sprintf(format, args...), mend, false})
}

// device looks at one that exists, and takes its routes where none are named.
func (e *examination) device() error {
	a := e.link.Attrs()
	tun, isTun := e.link.(*netlink.Tuntap)
	switch {
	case !isTun || tun.Mode != netlink.TUNTAP_MODE_TUN:
		e.grave(TopicDevice, "choose another name with -i", "%s is no tun device", e.name)
	case a.RawFlags&unix.IFF_UP == 0:
		e.grave(TopicDevice, "ip link set "+e.name+" up", "%s is down: nothing can be sent into it", e.name)
	case !tun.NonPersist && a.RawFlags&unix.IFF_LOWER_UP == 0: // the other kind goes with its reader
		e.slight(TopicDevice, "tunrec -i "+e.name, "nobody reads %s now", e.name)
	}
	if len(e.to) > 0 {
		return nil
	}
	err := systemRoutes(func(r route) {
		if r.device == a.Index && r.table != localTable && !r.to.Addr().IsMulticast() && !r.to.Addr().IsLinkLocalUnicast() {
			e.to = append(e.to, r.to)
		}
	})
	if err == nil && len(e.to) == 0 && isTun {
		e.grave(TopicRoute, "ip route add PREFIX dev "+e.name, "no route leads to %s", e.name)
	}
	return err
}

// destinations are what leads into the device.
func (e *examination) destinations() []netip.Prefix {
	all := e.to
	if e.link == nil {
		for _, a := range e.Addrs {
			all = append(all, a.destination())
		}
	}
	return all
}

// forwarding: without it, the kernel drops what other hosts send.
func (e *examination) forwarding() {
	v4, v6 := families(e.to)
	if v4 && sysctl("net/ipv4/ip_forward") == 0 {
		e.slight(TopicForwarding, "sysctl -w net.ipv4.ip_forward=1",
			"the machine does not forward IPv4: what it sends itself is recorded, but nothing that comes from other hosts")
	}
	if v6 && sysctl("net/ipv6/conf/all/forwarding") == 0 {
		e.slight(TopicForwarding, "sysctl -w net.ipv6.conf.all.forwarding=1, with net.ipv6.conf.NAME.accept_ra=2 for a device that learns its route from a router",
			"the machine does not forward IPv6: what it sends itself is recorded, but nothing that comes from other hosts")
	}
	if v6 && (sysctl("net/ipv6/conf/all/disable_ipv6") == 1 || e.link == nil && sysctl("net/ipv6/conf/default/disable_ipv6") == 1) {
		e.grave(TopicForwarding, "sysctl -w net.ipv6.conf.all.disable_ipv6=0", "IPv6 is switched off")
	}
}

// reversePath finds the devices that drop what comes from afar: a strict rp_filter
// lets in only sources that a packet would be sent to through the same device. That
// of the tun device means nothing, since nothing comes out of it.
func (e *examination) reversePath() error {
	if v4, _ := families(e.to); !v4 {
		return nil
	}
	defaults := map[int]bool{} // devices that the rest of the world is behind
	err := routesOf(netlink.FAMILY_V4, func(r route) {
		if r.to.Bits() == 0 && r.table == mainTable {
			defaults[r.device] = true
		}
	})
	if err != nil {
		return err
	}
	devices, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, d := range devices {
		const strict = 1
		filter := max(sysctl("net/ipv4/conf/all/rp_filter"), sysctl("net/ipv4/conf/"+d.Name+"/rp_filter"))
		isOurs := e.link != nil && e.link.Attrs().Index == d.Index
		if filter != strict || isOurs || d.Flags&net.FlagUp == 0 || d.Flags&net.FlagLoopback != 0 || !hasIPv4(d) {
			continue
		}
		mend := fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2", strings.ReplaceAll(d.Name, ".", "/"))
		switch {
		case e.takesDefault():
			e.slight(TopicRPFilter, mend, "%s drops what comes from hosts that are themselves routed into the device (rp_filter is 1, strict)", d.Name)
		case !defaults[d.Index]:
			e.slight(TopicRPFilter, mend, "%s drops what comes from hosts that no route through %s leads to (rp_filter is 1, strict)", d.Name, d.Name)
		}
	}
	return nil
}

// takesDefault reports whether the routes take the whole of IPv4.
func (e *examination) takesDefault() bool {
	for _, p := range e.to {
		if p.Addr().Is4() && p.Bits() <= 1 {
			return true
		}
	}
	return false
}

func hasIPv4(d net.Interface) bool {
	addrs, _ := d.Addrs()
	for _, a := range addrs {
		if p, ok := subnet(a); ok && p.Addr().Is4() {
			return true
		}
	}
	return false
}

// routes asks the kernel where packets go.
func (e *examination) routes() error {
	if e.Table != 0 {
		return e.rules()
	}
	inside, err := e.inside()
	if err != nil {
		return err
	}
	for _, p := range e.to {
		var elsewhere []Obstacle
		all := samples(p)
		for _, ip := range all {
			if o := e.diverted(ip, p); o != nil {
				elsewhere = append(elsewhere, *o)
			}
		}
		isAll := len(elsewhere) == len(all) && len(all) > 0
		if o, ok := inside[p]; ok && !isAll {
			e.found = append(e.found, o)
		} else if len(elsewhere) > 0 {
			o := elsewhere[0]
			o.Grave = isAll
			e.found = append(e.found, o)
		}
	}
	return nil
}

// inside finds routes that are more specific than those into a device that exists.
// Of others, Check tells.
func (e *examination) inside() (map[netip.Prefix]Obstacle, error) {
	found := map[netip.Prefix]Obstacle{}
	if e.link == nil {
		return found, nil
	}
	err := systemRoutes(func(r route) {
		for _, p := range e.to {
			if r.table != mainTable || r.device == e.link.Attrs().Index || p.Bits() <= 1 || r.to == p || !covers(p, r.to) {
				continue
			}
			found[p] = Obstacle{Topic: TopicRoute, Text: fmt.Sprintf("%s, which comes before %s", r.describe(e.names), p),
				Mend: fmt.Sprintf("ip route del %s, or record without it", r.to)}
		}
	})
	return found, err
}

// diverted says why packets to ip, which is in p, do not or would not go into the
// device; nil: they do.
func (e *examination) diverted(ip netip.Addr, p netip.Prefix) *Obstacle {
	show := "ip route get " + ip.String()
	obstacle := func(mend, format string, args ...any) *Obstacle {
		return &Obstacle{Topic: TopicRoute, Text: fmt.Sprintf("packets to %s, in %s, ", ip, p) + fmt.Sprintf(format, args...), Mend: mend}
	}
	r, err := routeTo(ip)
	switch {
	case err == nil && r.Type == unix.RTN_LOCAL:
		return obstacle(show, "stay here: it is an address of this machine")
	case e.link == nil && (err != nil || inMain(r)): // where the route is still to come
		return nil
	case e.link == nil:
		return obstacle("ip rule show; --table puts the routes elsewhere",
			"go to %s by a rule that looks into table %d before the main one, where the route would be", e.where(r), r.Table)
	case err != nil:
		return obstacle(show, "go nowhere: %v", err)
	case r.LinkIndex == e.link.Attrs().Index:
		return nil
	case inMain(r):
		return obstacle(show, "go to %s", e.where(r))
	}
	return obstacle(fmt.Sprintf("ip rule show; ip route show table %d", r.Table), "go to %s by table %d", e.where(r), r.Table)
}

func inMain(r netlink.Route) bool {
	return r.Table == unix.RT_TABLE_MAIN || r.Table == unix.RT_TABLE_DEFAULT || r.Table == unix.RT_TABLE_UNSPEC
}

func (e *examination) where(r netlink.Route) string {
	return cmp.Or(e.names[r.LinkIndex], "no device")
}

// routeTo is what "ip route get" tells.
func routeTo(ip netip.Addr) (netlink.Route, error) {
	routes, err := netlink.RouteGet(ip.AsSlice())
	if err != nil {
		return netlink.Route{}, err
	}
	if len(routes) == 0 {
		return netlink.Route{}, unix.ENETUNREACH
	}
	return routes[0], nil
}

// rules: a table of one's own is looked into only where a rule says so.
func (e *examination) rules() error {
	v4, v6 := families(e.to)
	for family, wanted := range map[int]bool{netlink.FAMILY_V4: v4, netlink.FAMILY_V6: v6} {
		if !wanted {
			continue
		}
		rules, err := netlink.RuleList(family)
		if err != nil {
			return err
		}
		if !hasRule(rules, e.Table) {
			ip := map[int]string{netlink.FAMILY_V4: "ip", netlink.FAMILY_V6: "ip -6"}[family]
			e.grave(TopicRoute, fmt.Sprintf("%s rule add to PREFIX lookup %d", ip, e.Table), "no rule looks into table %d (%s rule show)", e.Table, ip)
		}
	}
	return nil
}

func hasRule(rules []netlink.Rule, table int) bool {
	for _, r := range rules {
		if r.Table == table {
			return true
		}
	}
	return false
}

// hops: a router answers the packets that have no hop left.
func (e *examination) hops() {
	v4, v6 := families(e.to)
	if v4 && sysctl("net/ipv4/ip_forward") == 1 || v6 && sysctl("net/ipv6/conf/all/forwarding") == 1 {
		e.slight(TopicHops, "", "packets that come from other hosts are recorded with one hop less (TTL, hop limit), and the kernel answers those with none left: traceroute shows this machine")
	}
}

// mtu: longer packets are answered or cut.
func (e *examination) mtu() {
	mtu, mend := e.MTU, "leave out --mtu"
	if e.link != nil {
		mtu, mend = e.link.Attrs().MTU, fmt.Sprintf("ip link set %s mtu %d", e.name, maxMTU)
	}
	if mtu != 0 && mtu < maxMTU {
		e.slight(TopicMTU, mend, "packets of more than %d bytes are not recorded whole: the kernel cuts them, or answers those that must not be cut (fragmentation needed, packet too big)", mtu)
	}
}

// sysctl reads a number below /proc/sys, of the thread's network namespace; -1 where
// there is none.
func sysctl(name string) int {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return -1
	}
	return n
}
