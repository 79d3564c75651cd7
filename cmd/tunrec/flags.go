package main

import (
	"errors"
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/pcapng"
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
		UsageText: "tunrec [record] [-o FILE] [flags] [FILTER]",
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
			UsageText: "tunrec record [-o FILE] [flags] [FILTER]",
			Flags:     recordFlags(), Action: record, OnUsageError: onUsageError,
		}, lsCommand(), infoCommand(), verifyCommand(), repairCommand(), sliceCommand(), catCommand(), convertCommand(), filterCommand(), extcapCommand(), doctorCommand()},
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		OnUsageError:              onUsageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // run prints and decides
	}
}

// onUsageError words what the flag library says as tunrec does: the flag with
// its own dashes, and what is wanted of its value.
func onUsageError(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		err = fmt.Errorf("unknown flag %s", dashed(name))
	} else if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		err = fmt.Errorf("%s needs a value", dashed(name))
	} else if m := invalidValue.FindStringSubmatch(text); m != nil {
		want := "a whole number, 1 or more"
		for _, f := range c.App.Flags {
			if _, ok := f.(*cli.DurationFlag); ok && f.Names()[0] == m[2] {
				want = "a time, as in 500ms, 10s or 2m"
			}
		}
		err = fmt.Errorf("%s %s: has to be %s", dashed(m[2]), m[1], want)
	}
	return usageError(err, "tunrec --help lists the flags")
}

var invalidValue = regexp.MustCompile(`^invalid value (".*") for flag -(\S+): `)

// dashed is a flag as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

const (
	groupOutput = "Output:"
	groupSeries = "Series of files:"
	groupSource = "Source:"
	groupDevice = "Device and addresses:"
	groupPath   = "Memory and compression:"
	groupMisc   = "Messages:"

	groupPrivileges = "Privileges:"
)

func recordFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "o", Category: groupOutput, Usage: "write to `FILE`, NAME.pcapng[.zst], or - for plain pcapng to standard output (default: tunrec_INTERFACE_TIME.pcapng.zst here)"},
		&cli.BoolFlag{Name: "force", Category: groupOutput, Usage: "overwrite an existing file"},
		&cli.StringFlag{Name: "owner", Category: groupOutput, Usage: "files belong to `USER[:GROUP]` (default: --user, or who called sudo)"},
		&cli.StringFlag{Name: "comment", Category: groupOutput, Usage: "note `TEXT` in the file's section header"},
		&cli.Uint64Flag{Name: "c", Category: groupOutput, Usage: "stop after `N` recorded packets", DefaultText: "no limit"},
		&cli.IntFlag{Name: "s", Aliases: []string{"snaplen"}, Category: groupOutput, Usage: "keep the first `N` bytes of each packet", DefaultText: "all"},

		&cli.StringSliceFlag{Name: "b", Category: groupSeries, Usage: "write a series of files, NAME_00001_TIME.pcapng.zst and so on. Ends a file: duration:TIME, interval:TIME (at multiples of local time), filesize:SIZE, packets:N. Removes the oldest: files:N, total:SIZE, age:TIME, minfree:SIZE. Also nametimenum:2, printname:FILE|stdout|stderr. Repeatable, all hold together: `KEY:VALUE`"},
		&cli.StringSliceFlag{Name: "a", Category: groupSeries, Usage: "stop after duration:TIME, filesize:SIZE, files:N or packets:N; repeatable: `KEY:VALUE`"},
		&cli.BoolFlag{Name: "empty-files", Category: groupSeries, Usage: "make a file for an interval without packets, too", DisableDefaultText: true},
		&cli.StringFlag{Name: "hook", Category: groupSeries, Usage: "run `COMMAND` FILE when a file is complete; words are split at spaces, no shell is used"},
		&cli.DurationFlag{Name: "hook-timeout", Category: groupSeries, Value: time.Minute, Usage: "kill the hook after this `TIME`"},
		&cli.StringFlag{Name: "sync", Category: groupSeries, Value: "file", Usage: "sync to disk `WHEN`: never, file (when it is complete) or flush (after every chunk)"},
		&cli.BoolFlag{Name: "dry-run", Category: groupSeries, Usage: "print which files -b would remove now, and record nothing", DisableDefaultText: true},

		&cli.StringFlag{Name: "filter-dialect", Category: groupSource, Value: "libpcap", Usage: "verdicts of FILTER, in the language of pcap-filter(7): as `DIALECT` libpcap, or tunrec, which also follows IPv6 extension headers"},
		&cli.BoolFlag{Name: "resolve", Category: groupSource, Usage: "look up host names in FILTER", DisableDefaultText: true},
		&cli.StringFlag{Name: "r", Category: groupSource, Usage: "record from the capture file `FILE` (pcap or pcapng, also compressed; - for standard input) instead of a device; needs no privilege"},

		&cli.StringFlag{Name: "i", Category: groupDevice, Usage: "`NAME` of the device (default: chosen by the system). Linux: one made by ip tuntap add is used as it is, and stays"},
		&cli.StringSliceFlag{Name: "addr", Category: groupDevice, Usage: "give the device an address, `LOCAL,PEER` or LOCAL/LENGTH; repeatable (default: 10.1.0.10,10.1.0.20 or the next free 10.N)"},
		&cli.StringSliceFlag{Name: "route", Category: groupDevice, Usage: "route `PREFIX` into the device; repeatable"},
		&cli.StringSliceFlag{Name: "exclude", Category: groupDevice, Usage: "leave `PREFIX`, a part of --route, outside the device; repeatable"},
		&cli.IntFlag{Name: "metric", Category: groupDevice, Usage: "Linux: `METRIC` of the routes; the lowest wins", DefaultText: "the system's"},
		&cli.IntFlag{Name: "table", Category: groupDevice, Usage: "Linux: add the routes to the routing table `NUMBER` (ip-rule(8))", DefaultText: "the main one"},
		&cli.StringFlag{Name: "netns", Category: groupDevice, Usage: "Linux: make the device in the network namespace `NAME` (ip-netns(8)), and record from outside"},
		&cli.BoolFlag{Name: "force-config", Category: groupDevice, Usage: "go on where addresses or routes conflict with what the machine has", DisableDefaultText: true},
		&cli.IntFlag{Name: "mtu", Category: groupDevice, Usage: "largest packet in `BYTES`; longer ones the kernel cuts into fragments, or answers", DefaultText: mtuText()},
		&cli.BoolFlag{Name: "no-config", Category: groupDevice, Usage: "make the device, but give it no address and leave it down"},
		&cli.IntFlag{Name: "queue", Category: groupDevice, Value: tun.DefaultQueueLen, Usage: "Linux: `PACKETS` that wait in the kernel before it drops (txqueuelen)"},
		&cli.BoolFlag{Name: "recvmsg-x", Category: groupDevice, Usage: "macOS 15.6 and later: read packets in batches; not tried on a real Mac yet"},

		&cli.StringFlag{Name: "user", Category: groupPrivileges, Usage: "once device and files are open, become `USER[:GROUP]`, without any privilege (default: --owner, who called sudo, or nobody, the first who can write the files)"},
		&cli.BoolFlag{Name: "keep-root", Category: groupPrivileges, Usage: "keep all privileges and access to all files", DisableDefaultText: true},
		&cli.StringSliceFlag{Name: "hook-dir", Category: groupPrivileges, Usage: "the hook writes in `DIR`, too; repeatable"},

		&cli.StringFlag{Name: "ingest", Category: groupPath, Value: "auto", Usage: "`HOW` packets come from the kernel: read (a system call each), ring (Linux: an eBPF program puts them into shared memory) or auto, ring where it can be had"},
		&cli.StringFlag{Name: "ring-size", Category: groupPath, Value: humanize.IBytes(tun.DefaultRingBytes), Usage: "memory of the ring in the kernel, a power of two: `SIZE`"},
		&cli.StringFlag{Name: "compress", Category: groupPath, Value: "zstd", Usage: "`METHOD`: zstd, zstd:fastest, zstd:default, zstd:better, zstd:best or none (zstd is zstd:fastest)"},
		&cli.DurationFlag{Name: "flush", Category: groupPath, Value: recorder.DefaultFlush, Usage: "a packet is readable in the file after this `TIME` at the latest; 0: at once"},
		&cli.StringFlag{Name: "slab-size", Category: groupPath, DefaultText: "1MiB, without compression 2MiB", Usage: "`SIZE` of a slab, 64KiB to 8MiB; each slab is compressed by itself"},
		&cli.IntFlag{Name: "slabs", Category: groupPath, DefaultText: "32, without compression 16", Usage: fmt.Sprintf("`NUMBER` of slabs. Packets never take more memory than slabs and compression buffers: %s by default", humanize.IBytes(uint64(recorder.Config{}.SlabMemory())))},
		&cli.StringFlag{Name: "direct-io", Category: groupPath, Value: "auto", Usage: "`WHETHER` long writes go past the page cache: auto (Linux, where the file system can, and while the disk keeps up) or off"},
		&cli.IntFlag{Name: "workers", Category: groupPath, Usage: "compress on `NUMBER` of threads", DefaultText: "one a processor"},

		&cli.BoolFlag{Name: "json", Category: groupMisc, Usage: "print a JSON line for every event to standard output", DisableDefaultText: true},
		&cli.BoolFlag{Name: "q", Aliases: []string{"quiet"}, Category: groupMisc, Usage: "print errors only", DisableDefaultText: true},
		&cli.BoolFlag{Name: "v", Aliases: []string{"verbose"}, Category: groupMisc, Usage: "print more about the recording", DisableDefaultText: true},
	}
}

// wayFlags are those of record that say what comes to the device.
func wayFlags() (flags []cli.Flag) {
	names := []string{"i", "addr", "route", "exclude", "metric", "table", "netns", "mtu", "filter-dialect", "resolve"}
	for _, f := range recordFlags() {
		if slices.Contains(names, f.Names()[0]) {
			flags = append(flags, f)
		}
	}
	return flags
}

// mtuText says what the device gets without --mtu.
func mtuText() string {
	if netconf.DefaultMTU == 0 {
		return "the system's, 1500"
	}
	return fmt.Sprintf("%d, the largest", netconf.DefaultMTU)
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
	force    bool   // --force-config
	netns    string // --netns
	setUp    string // a flag that only a device of our own can have, as typed; "": none
	recorder recorder.Config

	identity identity
	helped   helped

	policy rotate.Policy
	stop   rotate.Stop
	files  recorder.FilesConfig
	hook   *rotate.Hook // nil: none
	dryRun bool
	json   bool
	filter string
}

// series tells whether the output is a series of files.
func (o *options) series() bool {
	return o.policy != rotate.Policy{} || strings.Contains(o.output.name, "%")
}

// parseOptions reads and checks the flags. Every error is wrong usage.
func parseOptions(c *cli.Context) (options, error) {
	o := options{comment: c.String("comment"), replay: c.String("r"), noConfig: c.Bool("no-config")}
	fail := func(err error) (options, error) { return o, usageError(err, "tunrec --help lists the flags") }
	if c.Bool("q") && c.Bool("v") {
		return fail(errors.New("-q and -v contradict each other"))
	}
	if c.IsSet("o") && c.String("o") == "" {
		return fail(errors.New("-o: the name is empty"))
	}
	if n := len(o.comment); n > pcapng.MaxOptionLen {
		return fail(fmt.Errorf("--comment: %d bytes are longer than the %d that a file can hold", n, pcapng.MaxOptionLen))
	}
	compress, err := parseCompress(c.String("compress"))
	if err != nil {
		return fail(err)
	}
	if o.output, err = resolveOutput(c.String("o"), compress, c.IsSet("compress")); err != nil {
		return fail(err)
	}
	o.create.Force = c.Bool("force")
	if o.replay != "" {
		for _, name := range []string{"i", "addr", "route", "exclude", "metric", "table", "netns", "mtu", "no-config", "force-config", "queue", "recvmsg-x", "ingest", "ring-size"} {
			if c.IsSet(name) {
				return fail(fmt.Errorf("-r records from a file: it has no device that %s could apply to", dashed(name)))
			}
		}
	}
	if err := o.parseDevice(c); err != nil {
		return fail(err)
	}
	if err := o.parseSeries(c); err != nil {
		return fail(err)
	}
	if err := o.parseRecorder(c, compress); err != nil {
		return fail(err)
	}
	if err := o.parsePrivileges(c); err != nil {
		return fail(err)
	}
	if err := o.parseFilter(c); err != nil {
		return o, err
	}
	return o, nil
}

// parseSeries reads -b, -a and what goes with them.
func (o *options) parseSeries(c *cli.Context) (err error) {
	if o.policy, err = rotate.ParsePolicy(c.StringSlice("b")); err != nil {
		return err
	}
	if o.stop, err = rotate.ParseStop(c.StringSlice("a")); err != nil {
		return err
	}
	o.dryRun, o.json = c.Bool("dry-run"), c.Bool("json")
	toStdout := o.output.form == capfile.Stream
	switch {
	case toStdout && o.series():
		return errors.New("-o - is one stream: it contradicts -b")
	case toStdout && (c.IsSet("hook") || c.IsSet("sync") || o.stop.FileBytes > 0 || o.stop.Files > 0):
		return errors.New("-o - is no file: it contradicts --hook, --sync, -a filesize and -a files")
	case toStdout && o.json:
		return errors.New("-o - and --json both write to standard output")
	case o.json && o.policy.PrintName == "stdout":
		return errors.New("-b printname:stdout and --json both write to standard output: file_closed events have the name")
	case !o.series() && (c.Bool("empty-files") || o.dryRun):
		return errors.New("--empty-files and --dry-run are about a series of files: they need -b")
	case !o.policy.Cuts() && o.stop.Files > 1:
		return errors.New("-a files needs something that ends a file: -b duration, interval, filesize or packets")
	case o.series() && o.create.Force:
		return errors.New("--force is for one file: a series never overwrites")
	}
	switch s := c.String("sync"); s {
	case "never":
		o.files.Sync = recorder.SyncNever
	case "file":
		o.files.Sync = recorder.SyncFile
	case "flush":
		o.files.Sync = recorder.SyncFlush
	default:
		return fmt.Errorf("--sync %q: has to be never, file or flush", s)
	}
	switch d := c.String("direct-io"); d {
	case "auto":
		o.files.Direct = true
	case "off":
	default:
		return fmt.Errorf("--direct-io %q: has to be auto or off", d)
	}
	if c.IsSet("hook") {
		h, err := rotate.ParseHook(c.String("hook"))
		if err != nil {
			return fmt.Errorf("--hook: %w", err)
		}
		if h.Limit = c.Duration("hook-timeout"); h.Limit <= 0 {
			return fmt.Errorf("--hook-timeout %v: has to be more than 0", h.Limit)
		}
		h.Output = console
		o.hook = &h
	}
	o.files.Policy, o.files.Stop, o.files.EmptyFiles = o.policy, o.stop, c.Bool("empty-files")
	return nil
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
	if err := o.parseIngest(c); err != nil {
		return err
	}
	return o.parseNet(c)
}

// parseIngest reads how packets come from the kernel.
func (o *options) parseIngest(c *cli.Context) (err error) {
	if o.device.Ingest, err = tun.ParseIngestKind(c.String("ingest")); err != nil {
		return fmt.Errorf("--ingest: %w", err)
	}
	n, err := humanize.ParseBytes(c.String("ring-size"))
	if err != nil || n < tun.MinRingBytes || n > tun.MaxRingBytes || bits.OnesCount64(n) != 1 {
		return fmt.Errorf("--ring-size %q: has to be a power of two from %s to %s", c.String("ring-size"),
			humanize.IBytes(tun.MinRingBytes), humanize.IBytes(tun.MaxRingBytes))
	}
	if c.IsSet("ring-size") && o.device.Ingest == tun.IngestRead {
		return errors.New("--ingest read has no ring: it contradicts --ring-size")
	}
	o.device.RingBytes = int(n)
	return nil
}

func (o *options) parseRecorder(c *cli.Context, m compression) error {
	slabs, slabBytes := recorder.DefaultSlabs(o.output.form)
	if c.IsSet("slabs") {
		slabs = c.Int("slabs")
	}
	if size := c.String("slab-size"); c.IsSet("slab-size") {
		n, err := humanize.ParseBytes(size)
		if err != nil || n < recorder.MinSlabBytes || n > recorder.MaxSlabBytes {
			return fmt.Errorf("--slab-size %q: has to be 64KiB to 8MiB", size)
		}
		slabBytes = int(n)
	}
	o.recorder = recorder.Config{
		Form: o.output.form, Method: m.method,
		SlabBytes: slabBytes, Slabs: slabs, Workers: c.Int("workers"),
		FlushInterval: c.Duration("flush"),
		Snaplen:       c.Int("s"), Count: c.Uint64("c"),
		FilePackets: o.policy.Packets,
	}
	r := &o.recorder
	if n := o.stop.Packets; n > 0 && (r.Count == 0 || n < r.Count) {
		r.Count = n
	}
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
