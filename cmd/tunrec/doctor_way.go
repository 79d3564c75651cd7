package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/filter"
	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/tun"
)

// The way of packets into the device: what the doctor can say of it where it is told
// what a recording is asked for, by flags of record.

// parseWay reads the flags that are about the way.
func (p *patient) parseWay(c *cli.Context) error {
	const hint = "tunrec doctor --help lists the flags"
	o := &p.recording
	o.device.Name = c.String("i")
	if c.IsSet("i") {
		if err := tun.ValidName(o.device.Name); err != nil {
			return usageError(fmt.Errorf("-i: %w", err), hint)
		}
	}
	if err := o.parseNet(c); err != nil {
		return usageError(err, hint)
	}
	err := o.parseFilter(c)
	if errors.Is(err, filter.ErrRejectsAll) {
		err = nil // that is for the doctor to say
	}
	p.filter = strings.Join(c.Args().Slice(), " ")
	p.dialect = c.String("filter-dialect")
	p.hasWay = c.IsSet("i") || len(o.net.Addrs)+len(o.net.Routes) > 0
	return err
}

// exists tells whether -i names a device that is there.
func (p *patient) exists() (there bool) {
	err := p.recording.inNamespace(func() error {
		_, err := net.InterfaceByName(p.recording.device.Name)
		return err
	})
	return err == nil
}

// way are the checks of it; none where nothing is asked for.
func (p *patient) way() []check {
	if !p.hasWay && p.filter == "" {
		return nil
	}
	var found []netconf.Obstacle
	var to []netip.Prefix
	err := p.recording.inNamespace(func() (err error) {
		found, to, err = netconf.Examine(p.recording.device.Name, p.recording.net)
		return err
	})
	var list []check
	say := func(name string, f finding) { list = append(list, check{name, func() finding { return f }}) }
	if err != nil {
		say(netconf.TopicRoute, wrong("", "%v", err))
	}
	if err == nil && p.hasWay {
		for _, topic := range netconf.Topics() {
			about := slices.DeleteFunc(slices.Clone(found), func(o netconf.Obstacle) bool { return o.Topic != topic })
			for _, o := range about {
				say(topic, judged(o))
			}
			if text := p.fine(topic, to); len(about) == 0 && text != "" {
				say(topic, ok("%s", text))
			}
		}
		if len(to) > 0 {
			for _, f := range firewall(p.recording.inNamespace, p.deviceName()) {
				say("firewall", f)
			}
		}
	}
	if p.filter != "" {
		say("filter", p.judgeFilter(to))
	}
	return list
}

func judged(o netconf.Obstacle) finding {
	if o.Grave {
		return wrong(o.Mend, "%s", o.Text)
	}
	return note(o.Mend, "%s", o.Text)
}

// fine is what to say of a topic that nothing is wrong with; "": nothing.
func (p *patient) fine(topic string, to []netip.Prefix) string {
	switch {
	case topic == netconf.TopicDevice && p.exists():
		return p.recording.device.Name + " is up, and is being read"
	case topic == netconf.TopicForwarding && len(p.recording.net.Routes) > 0:
		return "the machine forwards what comes from other hosts"
	case topic == netconf.TopicRoute && len(to) > 0:
		var all []string
		for _, prefix := range to {
			all = append(all, prefix.String())
		}
		verb := "would lead"
		if p.exists() {
			verb = "lead"
		}
		return fmt.Sprintf("%s %s into %s", strings.Join(all, ", "), verb, p.deviceName())
	}
	return ""
}

func (p *patient) deviceName() string {
	if p.recording.device.Name == "" {
		return "the device"
	}
	return p.recording.device.Name
}

// judgeFilter has the filter compiled together with what leads into the device.
func (p *patient) judgeFilter(to []netip.Prefix) finding {
	if p.recording.filter == "" { // it compiled, but for that
		return wrong("tunrec filter --explain shows how it is read", "%q matches no packet of a device", p.filter)
	}
	if len(to) == 0 {
		return ok("%q can match", p.filter)
	}
	var nets []string
	for _, prefix := range to {
		nets = append(nets, "dst net "+prefix.String())
	}
	o := filter.Options{Direction: filter.DirectionOut, Netmask: netmask(p.recording.net.Addrs), Resolve: true}
	if p.dialect == "tunrec" {
		o.Dialect = filter.DialectTunrec
	}
	_, err := filter.Compile("("+p.filter+") and ("+strings.Join(nets, " or ")+")", o)
	if errors.Is(err, filter.ErrRejectsAll) {
		return wrong("tunrec filter --explain shows how it is read", "%q matches no packet to %s", p.filter, strings.Join(nets, ", "))
	}
	return ok("%q can match", p.filter) // beyond a limit of the compiler it cannot be told
}
