package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/replay"
	"github.com/tunrec/tunrec/rotate"
	"github.com/tunrec/tunrec/tun"
)

// record is the main job: source, file, addresses, recording, in that order.
// What it has opened is closed when it returns.
func record(c *cli.Context) error {
	o, err := parseOptions(c)
	if err != nil {
		return err
	}
	ui := newUI(c.Bool("q"), c.Bool("v"))
	ctx, release := stopOnSignal(ui)
	defer release()

	src, err := openSource(o)
	if err != nil {
		return err
	}
	defer src.Close()

	sink, name, err := o.openSink(src)
	if err != nil {
		return err
	}
	o.recorder.Source, o.recorder.Sink = src, sink
	rec, err := recorder.New(o.recorder)
	if err == nil && src.device != nil {
		err = o.configure(src, ui)
	}
	if err != nil {
		return errors.Join(err, sink.discard())
	}
	ui.started(o, src, name)
	start := time.Now()
	stopLine := ui.watch(rec, name)
	err = rec.Run(ctx)
	stopLine()
	ui.finished(rec.Stats(), src.skipped(), name, time.Since(start))
	return verdict(err, rec.Stats(), name)
}

// verdict turns the outcome of a recording into an error with its exit code.
func verdict(err error, s recorder.Stats, name string) error {
	lost := s.LostAfterRead()
	switch {
	case err == nil && lost == 0:
		return nil
	case lost == 0:
		return err
	case err == nil:
		err = fmt.Errorf("%s packets were lost after they had been read", count(lost))
		return &codedError{exitLost, "a faster disk, more --slabs or --compress none may help", err}
	}
	hint := ""
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = fmt.Sprintf("%s is readable as far as it goes; make room, or write elsewhere with -o", name)
	}
	return &codedError{exitLost, hint, err}
}

// stopOnSignal returns a context that the first SIGINT, SIGTERM or SIGHUP
// ends. The second one ends the process at once; what has been flushed is in
// the file.
func stopOnSignal(ui *ui) (context.Context, func()) {
	// A reader that closes its end of -o - is an error of the write, not a
	// reason to be killed.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		cancel()
		if s, ok := <-signals; ok {
			ui.aborted(s)
			os.Exit(exitFailed)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// source is where packets come from: a device or a file.
type source struct {
	recorder.Source
	device *tun.Device
	file   *replay.Reader
	name   string
	addrs  []netconf.Addr
}

func (s *source) skipped() string {
	if s.file == nil {
		return ""
	}
	return s.file.Skipped().String()
}

func openSource(o options) (*source, error) {
	if o.replay != "" {
		f, err := replay.Open(o.replay)
		if err != nil {
			return nil, err
		}
		return &source{Source: f, file: f, name: fileStem(o.replay)}, nil
	}
	d, err := tun.Open(o.device)
	if errors.Is(err, fs.ErrPermission) {
		return nil, hinted(err, "sudo "+strings.Join(os.Args, " "))
	}
	if err != nil {
		return nil, err
	}
	return &source{Source: d, device: d, name: d.Name()}, nil
}

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

// configure gives the device its addresses and routes.
func (o *options) configure(src *source, ui *ui) error {
	if o.noConfig {
		return nil
	}
	if len(o.net.Addrs) == 0 {
		pair, skipped, err := netconf.DefaultPair()
		if err != nil {
			return err
		}
		if skipped != "" {
			ui.say("%s, so the device gets %s", skipped, pair)
		}
		o.net.Addrs = []netconf.Addr{pair}
	}
	src.addrs = o.net.Addrs
	return netconf.Apply(src.name, o.net)
}

// closableSink is a sink that can be undone as long as nothing is recorded.
type closableSink struct {
	recorder.Sink
	discard func() error
}

// openSink makes the file, or takes standard output, and writes the header.
func (o *options) openSink(src *source) (*closableSink, string, error) {
	c := capfile.Config{
		Form:        o.output.form,
		WindowBytes: capfile.WindowBytes(o.recorder.SlabBytes),
		Section:     o.section(src),
	}
	if src.file != nil {
		o.recorder.Patient = true
		o.recorder.DrainMax = 0
	}
	if o.output.form == capfile.Stream {
		sink, err := recorder.NewStreamSink(os.Stdout, c)
		if err != nil {
			return nil, "", fmt.Errorf("write to standard output: %w", err)
		}
		return &closableSink{sink, func() error { return nil }}, "standard output", nil
	}
	name := o.output.named(src.name, time.Now())
	f, err := rotate.Create(name, o.create)
	if err != nil {
		return nil, "", createError(err, name)
	}
	sink, err := recorder.NewFileSink(f, c)
	if err != nil {
		return nil, "", errors.Join(err, f.Discard())
	}
	return &closableSink{sink, f.Discard}, name, nil
}

// createError says why a file could not be made, and what to do.
func createError(err error, name string) error {
	dir := filepath.Dir(name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return hinted(fmt.Errorf("%s exists already", name), "choose another -o, or --force to overwrite it")
	case errors.Is(err, fs.ErrNotExist):
		return hinted(fmt.Errorf("make %s: there is no directory %s", name, dir), "mkdir -p "+dir)
	case errors.Is(err, fs.ErrPermission):
		return hinted(fmt.Errorf("make %s: no permission to write in %s", name, dir), "choose another -o")
	}
	return fmt.Errorf("make the capture file: %w", err)
}

// section describes the recording in the file.
func (o *options) section(src *source) pcapng.Section {
	description := "tunrec: packets routed into a TUN device"
	if src.file != nil {
		description = "tunrec: packets from a capture file"
	}
	snaplen := o.recorder.Snaplen
	return pcapng.Section{
		Comment:              o.comment,
		Hardware:             runtime.GOARCH,
		OS:                   osRelease(),
		Application:          "tunrec " + version,
		InterfaceName:        src.name,
		InterfaceDescription: description,
		Snaplen:              uint32(snaplen),
	}
}
