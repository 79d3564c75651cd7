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
// What it writes to may have a reader, who calls stop by going away.
func (o *options) openOutput(ctx context.Context, stop context.CancelFunc, src *source, ui *ui) (*openedOutput, error) {
	nothing := func() error { return nil }
	f := o.describeFiles(ctx, src, ui)
	switch {
	case o.output.form == capfile.Stream:
		sink, err := recorder.NewStreamSink(os.Stdout, f.Capture, func() { ui.readerGone.Store(true); stop() })
		return &openedOutput{sink, "standard output", nothing, nothing}, err
	case o.series():
		return o.openSeries(src, ui)
	}
	name := o.output.named(src.name, time.Now())
	o.create.Recognize = o.recognize
	file, err := rotate.New(name, o.create)
	if err != nil {
		return nil, createError(err, name)
	}
	f.File = file
	sink, err := recorder.NewFileSink(*f)
	if err != nil {
		return nil, sinkError(errors.Join(err, file.Discard()), name)
	}
	return &openedOutput{sink, name, file.Discard, nothing}, nil
}

// describeFiles says what the files are to be like.
func (o *options) describeFiles(ctx context.Context, src *source, ui *ui) *recorder.FilesConfig {
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
	return f
}

// openSeries opens a series of files. Its first file is made when the first
// packet comes.
func (o *options) openSeries(src *source, ui *ui) (*openedOutput, error) {
	sink, config, err := o.newSeries(src.name, ui)
	if err != nil {
		return nil, err
	}
	series := o.files.Series
	// A limit that cannot be reached now would hold up all writing.
	if _, err := series.Retain(time.Now(), 0, true); errors.Is(err, rotate.ErrNothingLeft) {
		return nil, errors.Join(err, sink.Discard())
	}
	if err := ui.openPrintName(o.policy.PrintName, o.create.Owner); err != nil {
		return nil, errors.Join(err, sink.Discard())
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

// newSeries opens a series, unless its limits can never hold.
func (o *options) newSeries(iface string, ui *ui) (*recorder.FileSink, rotate.Config, error) {
	config := o.seriesConfig(iface, ui)
	if err := o.startDirectory(&config); err != nil {
		return nil, config, err
	}
	series, err := rotate.OpenSeries(config)
	if err != nil {
		return nil, config, createError(err, config.Name)
	}
	o.files.Series = series
	sink, err := recorder.NewFileSink(o.files)
	if err != nil {
		return nil, config, sinkError(errors.Join(err, series.Close()), config.Name)
	}
	return sink, config, nil
}

// sinkError tells wrong usage, and a name that was taken a moment ago, from other errors
// of a sink.
func sinkError(err error, name string) error {
	switch {
	case errors.Is(err, recorder.ErrTooSmall):
		return usageError(err, "")
	case errors.Is(err, fs.ErrExist):
		return createError(err, name)
	}
	return err
}

func (o *options) seriesConfig(iface string, ui *ui) rotate.Config {
	name, suffix := o.output.stem(iface)
	return rotate.Config{
		Name: name, Suffix: suffix, Policy: o.policy, Owner: o.create.Owner,
		Recognize: o.recognize, Inspect: inspect,
		LetBe: func(name string, err error) { ui.event(recorder.FileKept{Name: name, Err: err}) },
	}
}

// recognize fails for a file that tunrec has not made for this series: it has other
// packets than those of the device, or of another one than that which -i names. Where
// the system names the device, that is another one at each start, and so are capture
// files.
func (o *options) recognize(f *os.File) error {
	s, err := capfile.Identify(f)
	switch {
	case err != nil:
		return err
	case s.InterfaceDescription != o.description():
		return fmt.Errorf("it has %q, not %q", s.InterfaceDescription, o.description())
	case o.replay == "" && o.device.Name != "" && s.InterfaceName != o.device.Name:
		return fmt.Errorf("it is of device %q, not of %s", s.InterfaceName, o.device.Name)
	}
	return nil
}

// inspect tells what is in a file of tunrec.
func inspect(f *os.File) (rotate.Info, error) {
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

// printRemovals prints what retention would remove now. What the start of a recording
// refuses, it refuses, too.
func (o *options) printRemovals(ui *ui) error {
	iface := o.device.Name
	if o.replay != "" {
		iface = fileStem(o.replay)
	}
	if o.output.name == "" && iface == "" {
		return usageError(errors.New("--dry-run needs the name of the series"), "say it with -o, or with -i")
	}
	if err := o.chooseUser(); err != nil {
		return err
	}
	f := o.describeFiles(context.Background(), &source{name: iface}, ui)
	f.EmptyFiles = false // which would make one at once
	sink, _, err := o.newSeries(iface, ui)
	if err != nil {
		return err
	}
	removed, err := f.Series.Retain(time.Now(), 0, true)
	for _, r := range removed {
		fmt.Printf("%s\t%d bytes\t%s\n", printable(r.Name), r.Bytes, r.Reason)
	}
	ui.say("%d files would be removed", len(removed))
	return errors.Join(err, sink.Discard())
}

// createError says why a file could not be made, and what to do.
func createError(err error, name string) error {
	dir := filepath.Dir(name)
	switch {
	case errors.Is(err, rotate.ErrCannotHold):
		return usageError(err, "")
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

// description says where packets come from.
func (o *options) description() string {
	if o.replay != "" {
		return "tunrec: packets from a capture file"
	}
	return "tunrec: packets routed into a TUN device"
}

// section describes the recording in the file.
func (o *options) section(src *source) pcapng.Section {
	snaplen := o.recorder.Snaplen
	return pcapng.Section{
		Comment:              o.comment,
		Hardware:             runtime.GOARCH,
		OS:                   osRelease(),
		Application:          "tunrec " + version,
		InterfaceName:        src.name,
		InterfaceDescription: o.description(),
		Filter:               o.filter,
		Snaplen:              uint32(snaplen),
	}
}
