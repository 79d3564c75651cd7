package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/replay"
	"github.com/tunrec/tunrec/tun"
)

// record is the main job: source, files, addresses, and then, without privileges,
// recording. What it has opened is closed when it returns.
func record(c *cli.Context) error {
	o, err := parseOptions(c)
	if err != nil {
		return err
	}
	ui := newLiveUI(c.Bool("q"), c.Bool("v"), o.json)
	defer ui.flush()
	if o.dryRun {
		return o.printRemovals(ui)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	if err := o.chooseUser(); err != nil {
		return err
	}
	src, err := o.openSource(ui)
	if err != nil {
		return err
	}
	defer src.Close()

	signals := catchSignals(o.series())
	src.describe(&o.recorder)
	out, err := o.openOutput(ctx, cancel, src, ui)
	if err != nil {
		return err
	}
	o.recorder.Sink = out.sink
	rec, err := recorder.New(o.recorder)
	if err == nil && src.device != nil {
		err = o.configure(src, ui)
	}
	if err == nil {
		err = o.dropPrivileges(ui)
	}
	if err != nil {
		return errors.Join(err, out.discard())
	}
	defer signals.handle(cancel, rec, ui)()
	if o.stop.Duration > 0 {
		defer time.AfterFunc(o.stop.Duration, cancel).Stop()
	}

	ui.started(o, src, out.name)
	defer tellManager(ctx, rec, "recording "+src.name+" to "+out.name, ui)()
	start := time.Now()
	endWatch := ui.watch(ctx, rec, out.name)
	err = rec.Run(ctx)
	endWatch()
	err = errors.Join(err, out.close())
	ui.finished(rec.Stats(), src, out.name, time.Since(start))
	return verdict(err, rec.Stats())
}

// verdict turns the outcome of a recording into an error with its exit code.
func verdict(err error, s recorder.Stats) error {
	lost := s.LostAfterRead()
	switch {
	case err == nil && lost == 0:
		return nil
	case errors.Is(err, recorder.ErrHarmed):
		return &codedError{exitLost, "keep others, such as a log rotation or a cleaner, away from files that are being recorded", err, ""}
	case lost == 0:
		return err
	case err == nil:
		err = fmt.Errorf("%s lost after they had been read", packets(lost))
		return &codedError{exitLost, "a faster disk, more --slabs or --compress none may help", err, ""}
	}
	hint := ""
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "what was written is readable; make room, or write elsewhere with -o"
	}
	return &codedError{exitLost, hint, err, ""}
}

// source is where packets come from: a device or a file.
type source struct {
	recorder.Source
	device *tun.Device
	file   *replay.Reader
	name   string
	addrs  []netconf.Addr
}

// describe tells the recorder how the source behaves.
func (s *source) describe(c *recorder.Config) {
	c.Source = s.Source
	if s.file != nil {
		c.Patient = true
		return
	}
	if s.ring() {
		// One is for the reader, also while it naps (tun.Config.Ingest).
		c.Workers = cmp.Or(c.Workers, min(runtime.GOMAXPROCS(0), recorder.MaxWorkers))
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	c.Buffered, c.DrainMax = s.device.Buffered(), s.device.HoldsPackets()
	c.Settle, c.Shut = s.device.Settle, s.device.Shut
}

// ring tells whether packets come through a ring in the kernel's memory.
func (s *source) ring() bool { return s.device != nil && s.device.Buffered() }

// afterStop is how many packets the device lost between the stop and its end.
func (s *source) afterStop() uint64 {
	if s.device == nil {
		return 0
	}
	return s.device.AfterStop()
}

func (s *source) skipped() string {
	if s.file == nil {
		return ""
	}
	return s.file.Skipped().String()
}

func (o *options) openSource(ui *ui) (*source, error) {
	if o.replay != "" {
		f, err := replay.Open(o.replay)
		if err != nil {
			return nil, err
		}
		return &source{Source: f, file: f, name: fileStem(o.replay)}, nil
	}
	d, err := o.openDevice(ui)
	if err != nil {
		return nil, err
	}
	return &source{Source: d, device: d, name: d.Name()}, nil
}

// privilegeHint says how to get the privilege to make a device.
func privilegeHint() string {
	if os.Geteuid() == 0 {
		return "root lacks CAP_NET_ADMIN here: for a container, docker run --cap-add NET_ADMIN --device /dev/net/tun"
	}
	words := []string{"sudo"}
	for _, w := range os.Args {
		if strings.ContainsFunc(w, func(r rune) bool { return !strings.ContainsRune(shellSafe, r) }) || w == "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// shellSafe are the characters that a shell leaves alone.
const shellSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"

// fileStem is the name of a capture file without folder and suffixes.
func fileStem(name string) string {
	if name == "-" {
		return "stdin"
	}
	stem, _, _ := strings.Cut(strings.TrimLeft(filepath.Base(name), "."), ".")
	if stem == "" {
		return "file"
	}
	return stem
}
