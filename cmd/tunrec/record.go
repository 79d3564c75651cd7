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

	"github.com/tunrec/tunrec/internal/sdnotify"
	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/replay"
	"github.com/tunrec/tunrec/tun"
)

// record is the main job: source, files, addresses, and then, without privileges,
// recording. What it has opened is closed when it returns.
func record(c *cli.Context) error {
	if err := checkLent(c); err != nil {
		return err
	}
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
	defer o.helped.close()
	r, err := o.prepare(ctx, cancel, ui)
	if err != nil {
		return err
	}
	defer r.src.Close()
	defer o.helped.watch(cancel)()
	defer r.signals.handle(cancel, r.Recorder, ui)()
	if o.stop.Duration > 0 {
		defer time.AfterFunc(o.stop.Duration, cancel).Stop()
	}

	ui.started(o, r.src, r.out.name)
	defer tellManager(r.manager, ctx, r.Recorder, "recording "+r.src.name+" to "+r.out.name, ui)()
	start := time.Now()
	endWatch := ui.watch(ctx, r.Recorder, r.out.name)
	err = r.Run(ctx)
	endWatch()
	err = errors.Join(err, r.out.close(), o.helped.close())
	ui.finished(r.Stats(), r.src, r.out.name, time.Since(start))
	return verdict(err, r.Stats())
}

// recording is all that a recording has open.
type recording struct {
	*recorder.Recorder
	src     *source
	out     *openedOutput
	signals caught
	manager *sdnotify.Notifier
}

// prepare opens it, and then gives up what that took. The reader of what is written may
// call stop.
func (o *options) prepare(ctx context.Context, stop context.CancelFunc, ui *ui) (_ *recording, err error) {
	r := &recording{manager: findManager(ui)}
	if err := o.chooseUser(); err != nil {
		return nil, err
	}
	if err := o.startHelpers(ui); err != nil {
		return nil, err
	}
	if r.src, err = o.openSource(ui); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.src.Close()
		}
	}()
	r.signals = catchSignals(o.series())
	r.src.describe(&o.recorder)
	if r.out, err = o.openOutput(ctx, stop, r.src, ui); err != nil {
		return nil, err
	}
	o.recorder.Sink = r.out.sink
	r.Recorder, err = recorder.New(o.recorder)
	if err == nil && r.src.device != nil {
		err = o.configure(r.src, ui)
	}
	if err == nil {
		err = o.helped.await()
	}
	if err == nil {
		err = o.dropPrivileges(ui)
	}
	if err != nil {
		return nil, errors.Join(err, r.out.discard())
	}
	return r, nil
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
		words = append(words, shellWord(w))
	}
	return strings.Join(words, " ")
}

// shellWord quotes a word for a shell, where it needs that.
func shellWord(w string) string {
	if w != "" && !strings.ContainsFunc(w, func(r rune) bool { return !strings.ContainsRune(shellSafe, r) }) {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
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
