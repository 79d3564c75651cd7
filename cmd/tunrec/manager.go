package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/tunrec/tunrec/internal/sdnotify"
	"github.com/tunrec/tunrec/recorder"
)

// findManager finds the service manager, where there is one (systemd). It is called
// while sockets can still be made.
func findManager(ui *ui) *sdnotify.Notifier {
	manager, err := sdnotify.FromEnviron()
	if err != nil {
		ui.say("%v", err)
	}
	return manager
}

// tellManager tells the service manager that the recording has begun, that it is
// alive, and that it stops. The function that it returns ends that.
func tellManager(manager *sdnotify.Notifier, stopping context.Context, rec *recorder.Recorder, status string, ui *ui) (end func()) {
	if err := manager.Ready(status); err != nil {
		ui.say("%v", err)
	}
	release := context.AfterFunc(stopping, func() { _ = manager.Stopping() })
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		_ = manager.Watch(ctx, func() (string, bool) { // the manager notices where it fails
			s := rec.Stats()
			return fmt.Sprintf("%s, %s recorded, %s dropped", status, packets(s.Recorded), count(s.Lost())), rec.Ping()
		})
	})
	return func() {
		release()
		cancel()
		watch.Wait()
		_ = manager.Close()
	}
}
