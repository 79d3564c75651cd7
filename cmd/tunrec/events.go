package main

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/tunrec/tunrec/recorder"
)

// eventWriter prints a JSON line for everything that happens (--json). Each
// line has "event" and "time"; names do not change once they are released.
type eventWriter struct {
	mu sync.Mutex
	w  io.Writer // nil: print nothing
}

type fields = map[string]any

func (e *eventWriter) print(event string, f fields) {
	if e.w == nil {
		return
	}
	f["event"], f["time"] = event, time.Now().Format(time.RFC3339Nano)
	line, err := json.Marshal(f) // keys come out sorted
	if err != nil {
		line, _ = json.Marshal(fields{"event": "error", "error": err.Error()})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.w.Write(append(line, '\n')) // there is nowhere to complain to
}

func (e *eventWriter) started(src *source, addrs []string, o options, output string) {
	f := fields{"output": output, "user": o.identity.name, "version": version}
	if src.device != nil {
		f["interface"], f["addresses"], f["ingest"] = src.name, addrs, src.device.IngestName()
	} else {
		f["input"] = o.replay
	}
	e.print("started", f)
}

// sink prints what a sink reports.
func (e *eventWriter) sink(event any) {
	switch v := event.(type) {
	case recorder.FileOpened:
		e.print("file_opened", fields{"file": v.Name})
	case recorder.FileClosed:
		f := fields{
			"file": v.Name, "reason": v.Reason, "packets": v.Packets, "bytes": v.OriginalBytes,
			"bytes_on_disk": v.Bytes, "dropped": v.Dropped,
		}
		if v.Packets > 0 {
			f["first"], f["last"] = stamp(v.First), stamp(v.Last)
		}
		if v.Err != nil {
			f["error"] = v.Err.Error()
		}
		e.print("file_closed", f)
	case recorder.FileRemoved:
		e.print("file_removed", fields{"file": v.Name, "bytes_on_disk": v.Bytes, "reason": v.Reason})
	case recorder.FileKept:
		e.print("file_kept", fields{"file": v.Name, "error": v.Err.Error()})
	case recorder.HookDone:
		f := fields{"file": v.Name, "exit_code": v.ExitCode}
		if v.Err != nil {
			f["error"] = v.Err.Error()
		}
		e.print("hook_done", f)
	case recorder.Trouble:
		e.print("trouble", fields{"error": v.Err.Error()})
	case recorder.Recovered:
		e.print("recovered", fields{})
	}
}

func (e *eventWriter) counts(event string, s recorder.Stats) {
	chunks := fields{}
	for m, n := range s.Chunks {
		if n > 0 {
			chunks[methodName(m)] = n
		}
	}
	e.print(event, fields{
		"received": s.Received, "recorded": s.Recorded, "filtered": s.Filtered, "truncated": s.Truncated,
		"dropped_by_queue": s.DroppedByQueue, "dropped_by_queue_exact": s.QueueExact,
		"dropped_no_slab": s.DroppedNoSlab, "dropped_by_write": s.DroppedByWrite, "after_limit": s.AfterLimit,
		"bytes": s.OriginalBytes, "bytes_on_disk": s.StoredBytes, "chunks": chunks,
	})
}

func stamp(unixNano int64) string { return time.Unix(0, unixNano).Format(time.RFC3339Nano) }
