package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/rotate"
	"github.com/tunrec/tunrec/tun"
)

const version = "0.1.0"

func newApp() *cli.App {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version", DisableDefaultText: true}
	cli.HelpFlag = &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "print this help", DisableDefaultText: true}
	return &cli.App{
		Name:      "tunrec",
		Usage:     "a flight recorder for tunnels",
		UsageText: "tunrec [record] [-o FILE] [flags]",
		Description: "Makes a TUN device and records every IP packet that the system routes into it,\n" +
			"into a compressed pcapng file that Wireshark opens. Nobody answers the packets.\n\n" +
			"   sudo tunrec -o capture.pcapng      records to capture.pcapng.zst until Ctrl-C\n" +
			"   ping -c 1 10.1.0.20                from another terminal: is recorded\n" +
			"   wireshark capture.pcapng.zst",
		Version: versionText(),
		Flags:   recordFlags(),
		Action:  record,
		Commands: []*cli.Command{{
			Name: "record", Usage: "record packets (what tunrec does without a command)",
			UsageText: "tunrec record [-o FILE] [flags]",
			Flags:     recordFlags(), Action: record, OnUsageError: onUsageError,
		}},
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		OnUsageError:              onUsageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // run prints and decides
	}
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	return usageError(err, "tunrec --help lists the flags")
}

const (
	groupOutput = "Output:"
	groupSource = "Source:"
	groupDevice = "Device and addresses:"
	groupPath   = "Memory and compression:"
	groupMisc   = "Messages:"
)

func recordFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "o", Category: groupOutput, Usage: "write to `FILE`, NAME.pcapng[.zst], or - for plain pcapng to standard output (default: tunrec_INTERFACE_TIME.pcapng.zst here)"},
		&cli.BoolFlag{Name: "force", Category: groupOutput, Usage: "overwrite an existing file"},
		&cli.StringFlag{Name: "owner", Category: groupOutput, Usage: "the file belongs to `USER[:GROUP]` (default: who called sudo)"},
		&cli.StringFlag{Name: "comment", Category: groupOutput, Usage: "note `TEXT` in the file's section header"},
		&cli.Uint64Flag{Name: "c", Category: groupOutput, Usage: "stop after `N` recorded packets", DefaultText: "no limit"},
		&cli.IntFlag{Name: "s", Aliases: []string{"snaplen"}, Category: groupOutput, Usage: "keep the first `N` bytes of each packet", DefaultText: "all"},

		&cli.StringFlag{Name: "r", Category: groupSource, Usage: "record from the capture file `FILE` (pcap or pcapng, also compressed; - for standard input) instead of a device; needs no privilege"},

		&cli.StringFlag{Name: "i", Category: groupDevice, Usage: "`NAME` of the device (default: chosen by the system)"},
		&cli.StringSliceFlag{Name: "addr", Category: groupDevice, Usage: "give the device an address, `LOCAL,PEER` or LOCAL/LENGTH; repeatable (default: 10.1.0.10,10.1.0.20 or the next free 10.N)"},
		&cli.StringSliceFlag{Name: "route", Category: groupDevice, Usage: "route `PREFIX` into the device; repeatable"},
		&cli.IntFlag{Name: "mtu", Category: groupDevice, Usage: "largest packet in `BYTES`", DefaultText: "the system's, 1500"},
		&cli.BoolFlag{Name: "no-config", Category: groupDevice, Usage: "make the device, but give it no address and leave it down"},
		&cli.IntFlag{Name: "queue", Category: groupDevice, Value: tun.DefaultQueueLen, Usage: "Linux: `PACKETS` that wait in the kernel before it drops (txqueuelen)"},
		&cli.BoolFlag{Name: "recvmsg-x", Category: groupDevice, Usage: "macOS 15.6 and later: read packets in batches; not tried on a real Mac yet"},

		&cli.StringFlag{Name: "compress", Category: groupPath, Value: "zstd", Usage: "`METHOD`: zstd, zstd:fastest, zstd:default, zstd:better, zstd:best or none (zstd is zstd:fastest)"},
		&cli.DurationFlag{Name: "flush", Category: groupPath, Value: recorder.DefaultFlush, Usage: "a packet is readable in the file after this `TIME` at the latest; 0: at once"},
		&cli.StringFlag{Name: "slab-size", Category: groupPath, Value: "1MiB", Usage: "`SIZE` of a slab, 64KiB to 8MiB; each slab is compressed by itself"},
		&cli.IntFlag{Name: "slabs", Category: groupPath, Value: recorder.DefaultSlabs, Usage: fmt.Sprintf("`NUMBER` of slabs. Packets never take more memory than slabs and compression buffers: %s by default", humanize.IBytes(uint64(recorder.Config{}.SlabMemory())))},
		&cli.IntFlag{Name: "workers", Category: groupPath, Usage: "compress on `NUMBER` of threads", DefaultText: "one a processor"},

		&cli.BoolFlag{Name: "q", Aliases: []string{"quiet"}, Category: groupMisc, Usage: "print errors only", DisableDefaultText: true},
		&cli.BoolFlag{Name: "v", Aliases: []string{"verbose"}, Category: groupMisc, Usage: "print more about the recording", DisableDefaultText: true},
	}
}

// options are the flags of record, checked as far as they can be alone.
type options struct {
	output   output
	create   rotate.CreateOptions
	comment  string
	replay   string
	device   tun.Config
	noConfig bool
	net      netconf.Config
	recorder recorder.Config
}

// parseOptions reads and checks the flags. Every error is wrong usage.
func parseOptions(c *cli.Context) (options, error) {
	o := options{comment: c.String("comment"), replay: c.String("r"), noConfig: c.Bool("no-config")}
	fail := func(err error) (options, error) { return o, usageError(err, "tunrec --help lists the flags") }
	if c.Args().Present() {
		return fail(fmt.Errorf("unexpected argument %q", c.Args().First()))
	}
	if c.Bool("q") && c.Bool("v") {
		return fail(errors.New("-q and -v contradict each other"))
	}
	var err error
	compress, err := parseCompress(c.String("compress"))
	if err != nil {
		return fail(err)
	}
	if o.output, err = resolveOutput(c.String("o"), compress, c.IsSet("compress")); err != nil {
		return fail(err)
	}
	if o.create.Owner, err = parseOwner(c.String("owner")); err != nil {
		return fail(err)
	}
	o.create.Force = c.Bool("force")
	if o.replay != "" {
		for _, name := range []string{"i", "addr", "route", "mtu", "no-config", "queue", "recvmsg-x"} {
			if c.IsSet(name) {
				return fail(fmt.Errorf("-r records from a file: it has no device that -%s could apply to", dashed(name)))
			}
		}
	}
	if err := o.parseDevice(c); err != nil {
		return fail(err)
	}
	if err := o.parseRecorder(c, compress); err != nil {
		return fail(err)
	}
	return o, nil
}

// dashed is the flag without its first dash: "i", "-addr".
func dashed(name string) string {
	if len(name) == 1 {
		return name
	}
	return "-" + name
}

func (o *options) parseDevice(c *cli.Context) error {
	o.device = tun.Config{Name: c.String("i"), QueueLen: c.Int("queue"), RecvmsgX: c.Bool("recvmsg-x")}
	if c.IsSet("i") {
		if err := tun.ValidName(o.device.Name); err != nil {
			return fmt.Errorf("-i: %w", err)
		}
	}
	if q := o.device.QueueLen; q < 1 || q > tun.MaxQueueLen {
		return fmt.Errorf("--queue %d: has to be 1 to %d packets", q, tun.MaxQueueLen)
	}
	for _, s := range c.StringSlice("addr") {
		a, err := netconf.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("--addr: %w", err)
		}
		o.net.Addrs = append(o.net.Addrs, a)
	}
	for _, s := range c.StringSlice("route") {
		r, err := netconf.ParseRoute(s)
		if err != nil {
			return fmt.Errorf("--route: %w", err)
		}
		o.net.Routes = append(o.net.Routes, r)
	}
	o.net.MTU = c.Int("mtu")
	if c.IsSet("mtu") && o.net.MTU <= 0 {
		return fmt.Errorf("--mtu %d: has to be 68 to 65535 bytes", o.net.MTU)
	}
	if o.noConfig && (c.IsSet("addr") || c.IsSet("route") || c.IsSet("mtu")) {
		return errors.New("--no-config leaves the device alone: it contradicts --addr, --route and --mtu")
	}
	if err := o.net.Validate(); err != nil {
		return err
	}
	o.device.IPv6 = o.net.IPv6()
	return nil
}

func (o *options) parseRecorder(c *cli.Context, m compression) error {
	slab, err := humanize.ParseBytes(c.String("slab-size"))
	if err != nil || slab < recorder.MinSlabBytes || slab > recorder.MaxSlabBytes {
		return fmt.Errorf("--slab-size %q: has to be 64KiB to 8MiB", c.String("slab-size"))
	}
	o.recorder = recorder.Config{
		Form: o.output.form, Method: m.method,
		SlabBytes: int(slab), Slabs: c.Int("slabs"), Workers: c.Int("workers"),
		FlushInterval: c.Duration("flush"),
		Snaplen:       c.Int("s"), Count: c.Uint64("c"),
		DrainMax: o.device.QueueLen,
	}
	r := &o.recorder
	switch {
	case c.IsSet("s") && (r.Snaplen < 1 || r.Snaplen > recorder.MaxSnaplen):
		return fmt.Errorf("-s %d: has to be 1 to %d bytes", r.Snaplen, recorder.MaxSnaplen)
	case c.IsSet("c") && r.Count == 0:
		return errors.New("-c 0: has to be at least 1 packet")
	case r.Slabs < recorder.MinSlabs || r.Slabs > recorder.MaxSlabs:
		return fmt.Errorf("--slabs %d: has to be %d to %d", r.Slabs, recorder.MinSlabs, recorder.MaxSlabs)
	case c.IsSet("workers") && (r.Workers < 1 || r.Workers > recorder.MaxWorkers):
		return fmt.Errorf("--workers %d: has to be 1 to %d", r.Workers, recorder.MaxWorkers)
	case r.FlushInterval < 0 || r.FlushInterval > time.Hour:
		return fmt.Errorf("--flush %v: has to be 0 to 1h", r.FlushInterval)
	}
	if r.FlushInterval == 0 || o.output.form == capfile.Stream && !c.IsSet("flush") {
		r.FlushInterval = -1 // at once
	}
	return nil
}

// parseOwner reads USER[:GROUP], names or numbers. Without a value it is the
// user who called sudo, if there is one.
func parseOwner(s string) (rotate.Owner, error) {
	if s == "" {
		uid, err1 := strconv.Atoi(os.Getenv("SUDO_UID"))
		gid, err2 := strconv.Atoi(os.Getenv("SUDO_GID"))
		set := err1 == nil && err2 == nil && os.Geteuid() == 0
		return rotate.Owner{Set: set, UID: uid, GID: gid}, nil
	}
	name, group, hasGroup := strings.Cut(s, ":")
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return rotate.Owner{}, fmt.Errorf("--owner %s: there is no user %q", s, name)
		}
	}
	gid := u.Gid
	if hasGroup {
		g, err := user.LookupGroup(group)
		if err != nil {
			if g, err = user.LookupGroupId(group); err != nil {
				return rotate.Owner{}, fmt.Errorf("--owner %s: there is no group %q", s, group)
			}
		}
		gid = g.Gid
	}
	o := rotate.Owner{Set: true}
	var err1, err2 error
	o.UID, err1 = strconv.Atoi(u.Uid)
	o.GID, err2 = strconv.Atoi(gid)
	return o, errors.Join(err1, err2)
}
