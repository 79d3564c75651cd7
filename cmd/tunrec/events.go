package main

import (
	"io"
	"time"

	"github.com/tunrec/tunrec/internal/outlet"
	"github.com/tunrec/tunrec/recorder"
)

// eventWriter prints a JSON line for everything that happens (--json). Each
// line has "event" and "time"; names do not change once they are released.
type eventWriter struct {
	out *outlet.Outlet // nil: print nothing
}

// newEventOutlet is where events go: nobody waits for their reader.
func newEventOutlet(w io.Writer) *outlet.Outlet {
	out := outlet.New(w, func(n uint64) string { return eventLine("messages_lost", fields{"count": n}) })
	out.Start()
	return out
}

type fields = map[string]any

func (e *eventWriter) print(event string, f fields) {
	if e.out != nil {
		e.out.Send(eventLine(event, f))
	}
}

func eventLine(event string, f fields) string {
	f["event"], f["time"] = event, time.Now().Format(time.RFC3339Nano)
	line, err := jsonLine(f) // keys come out sorted
	if err != nil {
		line, _ = jsonLine(fields{"event": "error", "error": err.Error()})
	}
	return line
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
		e.print("trouble", fields{"doing": v.Doing, "error": v.Err.Error()})
	case recorder.Recovered:
		e.print("recovered", fields{"doing": v.Doing})
	case recorder.FileHarmed:
		e.print("file_harmed", fields{"file": v.Name, "packets": v.Packets, "error": v.Err.Error()})
	case recorder.Unplaced:
		e.print("losses_unplaced", fields{"packets": v.Packets})
	}
}

func (e *eventWriter) counts(event string, s recorder.Stats) { e.print(event, e.countFields(s)) }

func (e *eventWriter) stopped(s recorder.Stats, afterStop uint64, readerGone bool) {
	f := e.countFields(s)
	f["after_stop"], f["reader_gone"] = afterStop, readerGone // who had after_limit been for, then
	if e.out != nil {
		e.out.Insist(eventLine("stopped", f))
	}
}

func (e *eventWriter) countFields(s recorder.Stats) fields {
	chunks := fields{}
	for m, n := range s.Chunks {
		if n > 0 {
			chunks[methodName(m)] = n
		}
	}
	return fields{
		"messages_lost": console.Lost() + e.out.Lost(),
		"received":      s.Received, "in_memory": s.InMemory, "recorded": s.Recorded, "filtered": s.Filtered, "truncated": s.Truncated,
		"dropped_by_queue": s.DroppedByQueue, "dropped_by_queue_exact": s.QueueExact,
		"dropped_no_slab": s.DroppedNoSlab, "dropped_by_write": s.DroppedByWrite, "after_limit": s.AfterLimit,
		"bytes": s.OriginalBytes, "bytes_on_disk": s.StoredBytes, "chunks": chunks,
	}
}

func stamp(unixNano int64) string { return time.Unix(0, unixNano).Format(time.RFC3339Nano) }
