package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/filter"
	"github.com/tunrec/tunrec/recorder"
)

// Wireshark's extcap interface, extcap(4): Wireshark runs every program in a
// certain folder and asks by flags what it can capture from, and has it write
// that into a pipe.

// extcapName is the one interface that there is.
const extcapName = "tunrec"

// withExtcap puts the command's name into the arguments of a call by
// Wireshark, which has none: --extcap-interfaces --extcap-version=4.0.
func withExtcap(args []string) []string {
	asked := func(a string) bool { return strings.HasPrefix(a, "--extcap-") }
	if len(args) > 1 && strings.HasPrefix(args[1], "--") && slices.ContainsFunc(args, asked) {
		return slices.Insert(slices.Clone(args), 1, "extcap")
	}
	return args
}

// extcapArgument is a flag of record that Wireshark's dialog has, too.
type extcapArgument struct{ call, kind, display, tooltip string }

var extcapArguments = []extcapArgument{
	{"--addr", "{type=string}{placeholder=10.1.0.10,10.1.0.20}", "Addresses of the device",
		"LOCAL,PEER or LOCAL/LENGTH; several with spaces between them. Without one it gets 10.1.0.10 and 10.1.0.20 or the next free pair"},
	{"--route", "{type=string}{placeholder=192.0.2.0/24}", "Routes into the device",
		"Prefixes, several with spaces between them"},
	{"--mtu", "{type=integer}{range=68,65535}", "MTU in bytes", "The largest packet; empty: the largest there is"},
	{"--snaplen", fmt.Sprintf("{type=integer}{range=1,%d}", recorder.MaxSnaplen), "Bytes kept of a packet", "All without a number"},
}

func extcapCommand() *cli.Command {
	c := &cli.Command{
		Name: "extcap", Usage: "be an interface in Wireshark",
		UsageText: "tunrec extcap",
		Description: "Wireshark lists an interface tunrec, and records what is routed into a new TUN device,\n" +
			"when tunrec is in its folder for external captures. Wireshark then calls tunrec with\n" +
			"the flags below. Without one, this says how to put it there.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "extcap-interfaces", Usage: "list the interface", DisableDefaultText: true},
			&cli.StringFlag{Name: "extcap-version", Usage: "`VERSION` of Wireshark"},
			&cli.StringFlag{Name: "extcap-interface", Usage: "what is asked or done is about the interface `NAME`"},
			&cli.BoolFlag{Name: "extcap-dlts", Usage: "list its link types", DisableDefaultText: true},
			&cli.BoolFlag{Name: "extcap-config", Usage: "list its arguments", DisableDefaultText: true},
			&cli.BoolFlag{Name: "capture", Usage: "record", DisableDefaultText: true},
			&cli.StringFlag{Name: "fifo", Usage: "into this `PIPE`"},
			&cli.StringFlag{Name: "extcap-capture-filter", Usage: "what `FILTER` accepts; without --capture it is only checked"},
		},
		Action: extcap, OnUsageError: onUsageError,
	}
	for _, a := range extcapArguments {
		c.Flags = append(c.Flags, &cli.StringFlag{Name: strings.TrimLeft(a.call, "-"), Usage: "as `VALUE` in tunrec record"})
	}
	return c
}

func extcap(c *cli.Context) error {
	if name := c.String("extcap-interface"); name != extcapName && name != "" {
		return usageError(fmt.Errorf("there is no interface %q, only %s", name, extcapName), "")
	}
	switch {
	case c.Args().Present():
		return usageError(fmt.Errorf("unexpected argument %q", c.Args().First()), "tunrec extcap says how to use it")
	case c.Bool("extcap-interfaces"):
		fmt.Printf("extcap {version=%s}{help=https://github.com/tunrec/tunrec}{display=tunrec}\n", version)
		fmt.Printf("interface {value=%s}{display=packets routed into a new tunnel}\n", extcapName)
	case c.Bool("extcap-dlts"):
		fmt.Println("dlt {number=101}{name=LINKTYPE_RAW}{display=Raw IP}")
	case c.Bool("extcap-config"):
		for i, a := range extcapArguments {
			fmt.Printf("arg {number=%d}{call=%s}{display=%s}{tooltip=%s}%s\n", i, a.call, a.display, a.tooltip, a.kind)
		}
	case c.Bool("capture"):
		return extcapCapture(c)
	case c.IsSet("extcap-capture-filter"):
		// What is printed to standard output is what is wrong.
		_, err := filter.Compile(c.String("extcap-capture-filter"), filter.Options{Direction: filter.DirectionOut})
		if err != nil {
			fmt.Println(harmless(err.Error()))
		}
	default:
		printExtcapHelp()
	}
	return nil
}

// extcapCapture is tunrec record -o -, with the pipe for standard output. An
// error is one line: Wireshark shows it in a dialog.
func extcapCapture(c *cli.Context) error {
	if c.String("fifo") == "" {
		return usageError(errors.New("--capture needs --fifo"), "")
	}
	pipe, err := openFIFO(c.String("fifo"), fifoPatience)
	if err != nil {
		return fmt.Errorf("open Wireshark's pipe: %w", err)
	}
	defer pipe.Close()
	os.Stdout = pipe
	args := []string{"tunrec", "record", "-q", "-o", "-"}
	for _, a := range extcapArguments {
		for value := range strings.FieldsSeq(c.String(strings.TrimLeft(a.call, "-"))) {
			args = append(args, a.call, value)
		}
	}
	err = newApp().Run(append(args, "--", c.String("extcap-capture-filter")))
	var coded *codedError
	switch {
	case errors.Is(err, syscall.EPIPE): // Wireshark has gone, and wants no more
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%v: %s", err, capabilityHint()) // err has a hint of its own
	case errors.As(err, &coded): // without hints at the command line
		return &codedError{code: coded.code, err: coded.err}
	}
	return err
}

// fifoPatience is how long Wireshark may take to open its end.
const fifoPatience = 10 * time.Second

// openFIFO opens a FIFO for writing, once Wireshark has opened the other end. It gives up
// where that does not happen or Wireshark, whose child this is, has gone.
func openFIFO(name string, patience time.Duration) (*os.File, error) {
	const interval = 20 * time.Millisecond
	parent := os.Getppid()
	for start := time.Now(); ; time.Sleep(interval) {
		f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.ENXIO) {
			return nil, err
		}
		if os.Getppid() != parent || time.Since(start) > patience {
			return nil, fmt.Errorf("nobody has opened %s to read", name)
		}
	}
}

// capabilityHint says how Wireshark, which does not run as root, may make a
// device.
func capabilityHint() string {
	if runtime.GOOS == "linux" {
		return capabilityHintFor(executable())
	}
	return "start Wireshark by sudo, or pipe: sudo tunrec -o - | wireshark -k -i -"
}

// capabilityHintFor is the one command that lets a group record, and nobody else. A
// change of the owner takes capabilities away: setcap comes last.
func capabilityHintFor(file string) string {
	file = shellWord(file)
	return "sudo groupadd -f tunrec && sudo chown root:tunrec " + file + " && sudo chmod 750 " + file +
		" && sudo setcap cap_net_admin,cap_bpf=ep " + file + " lets the members of the group tunrec record into devices of their own"
}

// executable is where the program is, as far as that is known.
func executable() string {
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "tunrec"
	}
	return path
}

func printExtcapHelp() {
	fmt.Printf(`Wireshark 4.4 and later:   mkdir -p ~/.local/lib/wireshark/extcap && ln -s %[1]s ~/.local/lib/wireshark/extcap/
Wireshark before:          mkdir -p ~/.config/wireshark/extcap && ln -s %[1]s ~/.config/wireshark/extcap/
The privilege to record:   %[2]s
Then:                      tshark -i %[3]s -f 'udp port 53'
`, executable(), capabilityHint(), extcapName)
}
