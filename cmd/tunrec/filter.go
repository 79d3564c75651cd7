package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/filter"
	"github.com/tunrec/tunrec/netconf"
)

// parseFilter compiles the capture filter, what stands behind the flags.
func (o *options) parseFilter(c *cli.Context) error {
	if !c.Args().Present() {
		return nil
	}
	var opts filter.Options
	if o.replay == "" {
		opts.Direction = filter.DirectionOut // of the system, into the device
		opts.Netmask = netmask(o.net.Addrs)
	}
	p, err := compileFilter(c, opts)
	if err != nil {
		return err
	}
	o.filter, o.recorder.Filter = p.String(), p.Match
	return nil
}

// netmask is that of the first IPv4 subnet, as pcap_lookupnet(3) tells it; a pair
// has none.
func netmask(addrs []netconf.Addr) uint32 {
	for _, a := range addrs {
		if a.Local.Addr().Is4() && !a.Peer.IsValid() {
			return ^uint32(0) << (32 - a.Local.Bits())
		}
	}
	return 0
}

// compileFilter compiles the arguments, joined by spaces as tcpdump does.
func compileFilter(c *cli.Context, o filter.Options) (*filter.Program, error) {
	o.Resolve = c.Bool("resolve")
	switch name := c.String("filter-dialect"); name {
	case "libpcap":
	case "tunrec":
		o.Dialect = filter.DialectTunrec
	default:
		return nil, usageError(fmt.Errorf("--filter-dialect %q: has to be libpcap or tunrec", name), "")
	}
	text := strings.Join(c.Args().Slice(), " ")
	p, err := filter.Compile(text, o)
	if err == nil {
		return p, nil
	}
	hint := ""
	switch {
	case strings.Contains(text, ".pcap"):
		hint = "a file to write stands behind -o, one to read behind -r"
	case strings.Contains(text, " -"):
		hint = "flags stand before the filter"
	}
	var syntax *filter.SyntaxError
	if errors.As(err, &syntax) {
		return nil, &codedError{exitUsage, hint, err, syntax.Caret()}
	}
	return nil, usageError(err, hint)
}

func filterCommand() *cli.Command {
	return &cli.Command{
		Name: "filter", Usage: "show what a capture filter does",
		UsageText: "tunrec filter [-d|-dd|-ddd|--explain] FILTER",
		Description: "Compiles FILTER, in the language of pcap-filter(7), and prints its program in\n" +
			"tcpdump's forms, or in words. Without a flag it only says whether it is right.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "d", Usage: "print the program as text", DisableDefaultText: true},
			&cli.BoolFlag{Name: "dd", Usage: "print it as a C array", DisableDefaultText: true},
			&cli.BoolFlag{Name: "ddd", Usage: "print it as numbers", DisableDefaultText: true},
			&cli.BoolFlag{Name: "explain", Usage: "tell it in words", DisableDefaultText: true},
			filterDialectFlag, resolveFlag,
		},
		Action: showFilter, OnUsageError: onUsageError,
	}
}

func showFilter(c *cli.Context) error {
	if !c.Args().Present() {
		return usageError(errors.New("no filter given"), "tunrec filter -d 'tcp port 443'")
	}
	p, err := compileFilter(c, filter.Options{Direction: filter.DirectionOut}) // as of a device
	if err != nil {
		return err
	}
	for _, form := range []struct {
		flag  string
		style filter.DumpStyle
	}{{"d", filter.DumpText}, {"dd", filter.DumpC}, {"ddd", filter.DumpNumbers}} {
		if c.Bool(form.flag) {
			if err := p.Dump(os.Stdout, form.style); err != nil {
				return fmt.Errorf("write to standard output: %w", err)
			}
		}
	}
	if c.Bool("explain") {
		fmt.Print(p.Explain())
	}
	return nil
}
