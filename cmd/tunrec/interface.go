package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/internal/namespace"
	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/tun"
)

// The device: what it is to have, whether that is safe, and making it, or taking
// one that is there.

// netFlags are about addresses and routes, which --no-config leaves alone. setUpFlags
// set up a device of our own; one that is there is used as it is.
var (
	netFlags   = []string{"addr", "route", "exclude", "metric", "table", "mtu", "force-config"}
	setUpFlags = slices.Concat(netFlags, []string{"queue", "ring-size"})
)

// firstSet is the first of these flags that is set, with its dashes, or "".
func firstSet(c *cli.Context, names []string) string {
	for _, name := range names {
		if c.IsSet(name) {
			return dashed(name)
		}
	}
	return ""
}

// parseNet reads addresses, routes and where they are to be.
func (o *options) parseNet(c *cli.Context) error {
	for _, s := range c.StringSlice("addr") {
		a, err := netconf.ParseAddr(s)
		if err != nil {
			return err
		}
		o.net.Addrs = append(o.net.Addrs, a)
	}
	for _, s := range c.StringSlice("route") {
		r, err := netconf.ParseRoute(s)
		if err != nil {
			return err
		}
		o.net.Routes = append(o.net.Routes, r)
	}
	for _, s := range c.StringSlice("exclude") {
		e, err := netconf.ParseExclude(s)
		if err != nil {
			return err
		}
		o.net.Exclude = append(o.net.Exclude, e)
	}
	o.net.MTU, o.net.Metric, o.net.Table = c.Int("mtu"), c.Int("metric"), c.Int("table")
	o.netns, o.force = c.String("netns"), c.Bool("force-config")
	o.setUp = firstSet(c, setUpFlags)
	netFlag := firstSet(c, netFlags)
	switch {
	case o.noConfig && netFlag != "":
		return fmt.Errorf("--no-config leaves the device alone: it contradicts %s", netFlag)
	case c.IsSet("netns") && o.netns == "":
		return errors.New("--netns: the name is empty")
	case c.IsSet("mtu") && o.net.MTU == 0: // which would mean that none was given
		return errors.New("--mtu 0: must be 68 to 65535 bytes")
	case c.IsSet("table") && o.net.Table == 0:
		return errors.New("--table 0: must be 1 to 4294967295")
	case (c.IsSet("metric") || c.IsSet("table")) && len(o.net.Routes) == 0:
		return errors.New("--metric and --table are about routes: they need --route")
	}
	return o.net.Validate()
}

// inNamespace runs f where the device is to be.
func (o *options) inNamespace(f func() error) error {
	if o.netns == "" {
		return f()
	}
	return namespace.Do(o.netns, f)
}

// openDevice makes the device, once it is known that what it is to have takes
// nothing from the machine.
func (o *options) openDevice(ui *ui) (d *tun.Device, err error) {
	o.device.Notice = func(why string) { ui.inexact(d.Name(), why) }
	err = o.inNamespace(func() error {
		if _, err := net.InterfaceByName(o.device.Name); err == nil {
			if isLent() {
				return errLent(fmt.Errorf("-i %s: it exists already, and is somebody's", o.device.Name))
			}
			d, err = o.attachDevice()
			return err
		}
		if err := o.checkNet(ui); err != nil {
			return err
		}
		d, err = tun.Open(o.device)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrPermission) && o.needsNetAdmin():
		return nil, hinted(err, privilegeHint())
	case err != nil:
		return nil, err
	}
	return d, nil
}

// needsNetAdmin tells whether CAP_NET_ADMIN is what root may lack for the device, and
// not CAP_SYS_ADMIN or CAP_BPF, which the error names. Others lack root.
func (o *options) needsNetAdmin() bool {
	return os.Geteuid() != 0 || o.netns == "" && o.device.Ingest != tun.IngestRing
}

func (o *options) attachDevice() (*tun.Device, error) {
	o.device.Attach = true
	d, err := tun.Open(o.device)
	switch {
	case err != nil:
		return nil, err
	case !d.Attached(): // a new one, for which checkNet has not looked
		err = fmt.Errorf("device %s has just been removed", d.Name())
	case o.setUp != "":
		err = fmt.Errorf("device %s exists already, and is used as it is: %s contradicts that", d.Name(), o.setUp)
		err = usageError(err, "leave that out, or choose another name with -i")
	default:
		return d, nil
	}
	return nil, errors.Join(err, d.Close())
}

// checkNet finds addresses where none are given, and refuses what would take
// something from the machine.
func (o *options) checkNet(ui *ui) error {
	if o.noConfig {
		return nil
	}
	if len(o.net.Addrs) == 0 {
		pair, skipped, err := netconf.ReservePair()
		if err != nil {
			return err
		}
		if skipped != "" {
			ui.say("%s, so the device gets %s", skipped, pair)
		}
		o.net.Addrs = []netconf.Addr{pair}
	}
	if err := o.checkLentNet(); err != nil {
		return err
	}
	err := netconf.Check(o.net, o.lifelines())
	switch {
	case err == nil:
		return nil
	case !errors.As(err, new(*netconf.Conflict)):
		return err
	case !o.force:
		return hinted(err, "--force-config goes on all the same")
	}
	ui.say("%s: --force-config goes on", strings.ReplaceAll(err.Error(), "\n", "; "))
	return nil
}

// lifelines are none of another namespace's: who works on the machine does so from
// outside it.
func (o *options) lifelines() []netconf.Lifeline {
	if o.netns != "" {
		return nil
	}
	return netconf.Lifelines()
}

// configure gives a device of our own its addresses and routes. What it makes of other
// hosts' packets is only told on demand: mostly a machine's own are recorded.
func (o *options) configure(src *source, ui *ui) error {
	if o.noConfig || src.device.Attached() {
		return nil
	}
	src.addrs = o.net.Addrs
	return o.inNamespace(func() error {
		if err := netconf.Apply(src.name, o.net); err != nil || !ui.verbose || len(o.net.Routes) == 0 {
			return err
		}
		found, _, _ := netconf.Examine(src.name, o.net) // a hint less is no reason not to record
		for _, f := range found {
			if f.Topic == netconf.TopicForwarding {
				ui.say("%s: %s", f.Text, f.Mend)
			}
		}
		return nil
	})
}
