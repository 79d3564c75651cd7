package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/rotate"
	"github.com/tunrec/tunrec/tun"
)

// openedOutput is where a recording goes.
type openedOutput struct {
	sink    recorder.Sink
	name    string       // as messages say it
	discard func() error // undoes it, as long as nothing is recorded
	close   func() error // after the recording
}

// openOutput makes the file, opens the series, or takes standard output.
func (o *options) openOutput(ctx context.Context, src *source, ui *ui) (*openedOutput, error) {
	nothing := func() error { return nil }
	f := &o.files
	f.Capture = capfile.Config{
		Form:        o.output.form,
		WindowBytes: capfile.WindowBytes(o.recorder.SlabBytes),
		Section:     o.section(src),
	}
	f.Method, f.Packet = o.recorder.Method, o.recorder.Snaplen
	if f.Packet == 0 || f.Packet > tun.MaxPacket {
		// A longer one, which only a capture file can hold, is the exception
		// to limits on the size of files.
		f.Packet = tun.MaxPacket
	}
	f.GiveUp, f.Event, f.Unordered = ctx, ui.event, src.file != nil
	switch {
	case o.output.form == capfile.Stream:
		sink, err := recorder.NewStreamSink(os.Stdout, f.Capture)
		return &openedOutput{sink, "standard output", nothing, nothing}, err
	case o.series():
		return o.openSeries(src, ui)
	}
	name := o.output.named(src.name, time.Now())
	file, err := rotate.Create(name, o.create)
	if err != nil {
		return nil, createError(err, name)
	}
	f.File = file
	sink, err := recorder.NewFileSink(*f)
	if err != nil {
		return nil, sinkError(errors.Join(err, file.Discard()))
	}
	return &openedOutput{sink, name, file.Discard, nothing}, nil
}

// openSeries opens a series of files. Its first file is made when the first
// packet comes.
func (o *options) openSeries(src *source, ui *ui) (*openedOutput, error) {
	config := o.seriesConfig(src.name, ui)
	if err := o.startDirectory(&config); err != nil {
		return nil, err
	}
	series, err := rotate.OpenSeries(config)
	if err != nil {
		return nil, createError(err, config.Name)
	}
	o.files.Series = series
	if err := ui.openPrintName(o.policy.PrintName, o.create.Owner); err != nil {
		return nil, errors.Join(err, series.Close())
	}
	sink, err := recorder.NewFileSink(o.files)
	if err != nil {
		return nil, sinkError(errors.Join(err, series.Close()))
	}
	shown := config.Name + config.Suffix
	if !strings.Contains(config.Name, "%") {
		shown = config.Name + "_NNNNN_TIME" + config.Suffix
		if o.policy.NameTimeNum == 2 {
			shown = config.Name + "_TIME_NNNNN" + config.Suffix
		}
	}
	return &openedOutput{sink, shown, sink.Discard, series.Close}, nil
}

// sinkError tells wrong usage from other errors of a sink.
func sinkError(err error) error {
	if errors.Is(err, recorder.ErrTooSmall) {
		return usageError(err, "")
	}
	return err
}

func (o *options) seriesConfig(iface string, ui *ui) rotate.Config {
	name, suffix := o.output.stem(iface)
	return rotate.Config{
		Name: name, Suffix: suffix, Policy: o.policy, Owner: o.create.Owner,
		Inspect: inspect,
		LetBe:   func(name string, err error) { ui.event(recorder.FileKept{Name: name, Err: err}) },
	}
}

// inspect tells whether a file was made by tunrec, and what is in it.
func inspect(f *os.File) (rotate.Info, error) {
	if _, err := capfile.Identify(f); err != nil {
		return rotate.Info{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return rotate.Info{}, err
	}
	r, err := capfile.NewReader(f, info.Size())
	if err != nil {
		return rotate.Info{}, err
	}
	i := r.Info()
	return rotate.Info{First: i.First, Last: i.Last, Packets: i.Packets}, nil
}

// printRemovals prints what retention would remove now.
func (o *options) printRemovals(ui *ui) error {
	iface := o.device.Name
	if o.replay != "" {
		iface = fileStem(o.replay)
	}
	if o.output.name == "" && iface == "" {
		return usageError(errors.New("--dry-run needs the name of the series"), "say it with -o, or with -i")
	}
	series, err := rotate.OpenSeries(o.seriesConfig(iface, ui))
	if err != nil {
		return createError(err, o.output.name)
	}
	removed, err := series.Retain(time.Now(), 0, true)
	for _, r := range removed {
		fmt.Printf("%s\t%d bytes\t%s\n", r.Name, r.Bytes, r.Reason)
	}
	ui.say("%d files would be removed", len(removed))
	return errors.Join(err, series.Close())
}

// createError says why a file could not be made, and what to do.
func createError(err error, name string) error {
	dir := filepath.Dir(name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return hinted(fmt.Errorf("%s exists already", name), "choose another -o, or --force to overwrite it")
	case errors.Is(err, fs.ErrInvalid):
		return hinted(fmt.Errorf("%s is not a regular file, and is not overwritten", name), "choose another -o")
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
		Filter:               o.filter,
		Snaplen:              uint32(snaplen),
	}
}
