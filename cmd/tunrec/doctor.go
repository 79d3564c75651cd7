package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/internal/privilege"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "check whether a recording would work here",
		UsageText: "tunrec doctor [-o DIR]... [--user USER[:GROUP]] [--owner USER[:GROUP]] [--json]\n" +
			"              [-i NAME] [--addr ADDR]... [--route PREFIX]... [FILTER]",
		Description: "Looks at everything that a recording needs, in order, and says of each whether it is well,\n" +
			"or what is wrong and the command that mends it. It makes a device and records a packet in\n" +
			"memory, and writes for a second into a file without a name in each DIR; nothing is left.\n\n" +
			"   ok     as it should be\n" +
			"   note   a recording works, but this is worth knowing\n" +
			"   wrong  a recording would fail\n\n" +
			"With -i, --addr, --route or FILTER, as record takes them, it also looks at the way of packets\n" +
			"into the device, one that is recording now or that they would make: forwarding, rp_filter,\n" +
			"routes and rules, MTU, firewalls, and whether the filter can match what comes.\n\n" +
			"The exit code is 0 where nothing is wrong.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "o", Usage: "look at `DIR`, where files will be written, or at that of a file; repeatable (default: here)"},
			&cli.StringFlag{Name: "user", Usage: "the recording will give up root for `USER[:GROUP]` (default: --owner; who called sudo; or nobody; whoever can write)"},
			&cli.StringFlag{Name: "owner", Usage: "new files will belong to `USER[:GROUP]`"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object a line", DisableDefaultText: true},
		}, wayFlags()...),
		Action: doctor, OnUsageError: onUsageError,
	}
}

// status is what a check came to.
type status string

const (
	statusOK    status = "ok"
	statusNote  status = "note"
	statusWrong status = "wrong"
)

// finding is what a check found.
type finding struct {
	Check  string `json:"check"`
	Status status `json:"status"`
	Text   string `json:"text"`
	Mend   string `json:"mend,omitempty"` // a command or an advice
}

func ok(format string, args ...any) finding {
	return finding{Status: statusOK, Text: fmt.Sprintf(format, args...)}
}

func note(mend, format string, args ...any) finding {
	return finding{Status: statusNote, Text: fmt.Sprintf(format, args...), Mend: mend}
}

func wrong(mend, format string, args ...any) finding {
	return finding{Status: statusWrong, Text: fmt.Sprintf(format, args...), Mend: mend}
}

// patient is what the doctor looks at.
type patient struct {
	dirs []string
	user privilege.User
	can  bool // make a device, as far as the checks have come
	ring bool // the device has one

	recording       options // what is asked for, as far as it is about the way of packets
	hasWay          bool    // it is
	filter, dialect string
}

func doctor(c *cli.Context) error {
	p, err := newPatient(c)
	if err != nil {
		return err
	}
	show := printFinding
	if c.Bool("json") {
		show = func(w io.Writer, f finding) error { return printJSON(w, f) }
	}
	checks := p.checks()
	bad := 0
	for _, check := range checks {
		f := check.look()
		f.Check = check.name
		if f.Status == statusWrong {
			bad++
		}
		if err := show(os.Stdout, f); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("a recording would not work: %d of %d checks found something wrong", bad, len(checks))
	}
	return nil
}

func printFinding(w io.Writer, f finding) error {
	_, err := fmt.Fprintf(w, "%-5s  %-11s  %s\n", f.Status, f.Check, harmless(f.Text))
	if f.Mend != "" {
		_, mendErr := fmt.Fprintf(w, "%-5s  %-11s  → %s\n", "", "", harmless(f.Mend))
		err = errors.Join(err, mendErr)
	}
	return err
}

// newPatient finds the directories of the outputs and whom a recording there
// would run as.
func newPatient(c *cli.Context) (*patient, error) {
	p := &patient{}
	for _, name := range c.StringSlice("o") {
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			name = filepath.Dir(name)
		}
		if !slices.Contains(p.dirs, name) {
			p.dirs = append(p.dirs, name)
		}
	}
	if len(p.dirs) == 0 {
		p.dirs = []string{"."}
	}
	if err := p.parseWay(c); err != nil {
		return nil, err
	}
	var id identity
	if err := id.parse(c); err != nil {
		return nil, usageError(err, "")
	}
	_ = id.choose(p.dirs) // the check of a directory tells who cannot write there
	p.user = id.become
	return p, nil
}

type check struct {
	name string
	look func() finding
}

func (p *patient) checks() []check {
	list := []check{
		{"privileges", p.privileges},
		{"driver", p.driver},
		{"device", p.device},
		{"addresses", p.addresses},
		{"packet", p.packet},
	}
	list = append(list, p.way()...)
	list = append(list, check{"clock", clock})
	for _, dir := range p.dirs {
		list = append(list,
			check{"space", func() finding { return space(dir) }},
			check{"writing", func() finding { return p.writing(dir) }},
			check{"speed", func() finding { return speed(dir) }})
	}
	return append(list,
		check{"queue", queue},
		check{"memory", p.memory},
		check{"limits", limits},
		check{"wireshark", wireshark},
	)
}
