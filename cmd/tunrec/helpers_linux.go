package main

import (
	"errors"
	"fmt"

	"github.com/tunrec/tunrec/internal/helper"
	"github.com/tunrec/tunrec/rotate"
)

// helpers: processes can do for the recorder what it can no longer do itself.
const helpers = true

func helperMain(args []string) (isHelper bool, err error) { return helper.Main(args) }

// helped are the helpers of a recording, where it needs any.
type helped struct {
	hooks     *helper.Hooks
	directory *helper.Directory
}

// startHelpers starts those that can be before the device is there: they get ready while
// it is made.
func (o *options) startHelpers(ui *ui) error {
	if err := o.startHooks(); err != nil {
		return err
	}
	if o.output.name == "" || !o.series() {
		return nil
	}
	c := o.seriesConfig("", ui)
	return o.startDirectory(&c)
}

// startHooks has hooks run by a helper: the recorder itself gives up running programs.
func (o *options) startHooks() error {
	if o.hook == nil {
		return nil
	}
	if o.identity.keep {
		o.files.Hook = o.hook
		return nil
	}
	dirs := o.identity.hookDirs
	if !o.identity.byRoot {
		dirs = append(o.dirs(), dirs...)
	}
	hooks, err := helper.StartHooks(*o.hook, o.identity.become, dirs)
	if err != nil {
		return err
	}
	o.helped.hooks, o.files.Hook = hooks, hooks
	return nil
}

// startDirectory has the files of a series made by a helper, where only root can.
func (o *options) startDirectory(c *rotate.Config) (err error) {
	if !o.identity.byRoot || o.dryRun {
		return nil
	}
	if o.helped.directory == nil {
		o.helped.directory, err = helper.StartDirectory(*c)
	}
	if err == nil {
		c.Helper = o.helped.directory.Helper()
	}
	return err
}

// await waits until what runs hooks is confined to that. What makes files has been, when
// a series has been opened.
func (h *helped) await() error {
	if h.hooks == nil {
		return nil
	}
	return h.hooks.Await()
}

// watch calls stop when the helper that makes files has ended before the recording, which
// could go on with the present file alone.
func (h *helped) watch(stop func()) (release func()) {
	released := make(chan struct{})
	if h.directory != nil {
		go func() {
			select {
			case <-h.directory.Ended():
				stop()
			case <-released:
			}
		}()
	}
	return func() { close(released) }
}

// close lets the helpers end, and waits for that.
func (h *helped) close() error {
	var errs []error
	if h.hooks != nil {
		if err := h.hooks.Close(); err != nil {
			errs = append(errs, fmt.Errorf("the helper that runs hooks: %w", err))
		}
	}
	if h.directory != nil {
		if err := h.directory.Close(); err != nil {
			errs = append(errs, fmt.Errorf("the helper that makes files: %w", err))
		}
	}
	return errors.Join(errs...)
}
