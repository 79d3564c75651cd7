package main

import (
	"fmt"
	"math"
	"runtime"
	"strings"
)

// target is what tunrec is to reach, on any machine: mostly a ratio of medians
// of this run.
type target struct {
	what  string
	value float64
	least bool // limit is the least, not the most
	limit float64
}

// targets are those of the project, with what this run has measured.
func (r results) targets() []target {
	large := stream{packetBytes: 1400, perSecond: 200_000}
	full := stream{packetBytes: 100}
	record := func(who string, s stream, value func(recording) float64) float64 {
		return middle(valuesOf(r.recordings, recordName(who, s), value))
	}
	sum := func(who, than string, s stream) float64 {
		return record(who, s, recording.sumCPU) / record(than, s, recording.sumCPU)
	}
	speed := func(compressor string) float64 {
		return middle(valuesOf(r.replays, replayName(compressor), compression.speed))
	}

	size := func(s stream) float64 { return middle(valuesOf(r.sizes, sizesName(s), sizes.ratio)) }
	late := func(who string, perSecond int, quantile float64) float64 {
		return middle(valuesOf(r.clocks, clockName(who, perSecond), func(m recording) float64 { return m.lateBy(quantile) }))
	}
	sent := middle(valuesOf(r.recordings, recordName(rotatingLabel, common), recording.rate))
	lost := largest(valuesOf(r.recordings, recordName(rotatingLabel, common), recording.lost))
	wakeUps := largest(valuesOf(r.quiets, quietName(tunrecZstd), quiet.wakeUpRate))
	readable := largest(valuesOf(r.quiets, quietName(tunrecZstd), func(q quiet) float64 { return q.after(1) }))

	return []target{
		atMost("packets lost in 22 s at 500k/s of 100 bytes, zstd, a new file every 10 s", 0, lost),
		atLeast("packets/s that were sent there", 0.95*float64(common.perSecond), sent),
		atLeast("the plain loop's own CPU there / tunrec's", 2,
			record(plainLoop, common, recording.recorderCPU)/record(tunrecZstd, common, recording.recorderCPU)),
		atMost("sum of CPU at 500k/s of 100 bytes, zstd / tcpdump|zstd -1", 0.9, sum(tunrecZstd, tcpdumpZstd, common)),
		atMost("the same without compression / tcpdump -w", 0.8, sum(tunrecNone, tcpdump, common)),
		atMost("sum of CPU at 200k/s of 1,400 bytes, zstd / tcpdump|zstd -1", 0.6, sum(tunrecZstd, tcpdumpZstd, large)),
		atMost("the same without compression / tcpdump -w", 0.6, sum(tunrecNone, tcpdump, large)),
		atLeast("part of a flood of 100 bytes that is recorded, zstd", 0.97, record(tunrecZstd, full, recording.kept)),
		atLeast("the same without compression", 1, record(tunrecNone, full, recording.kept)),
		atLeast("recorded of the flood by ingest read, without compression / bare loop", 0.95,
			record(tunrecReadNone, full, recording.recordedRate)/record(bareLoop, full, recording.recordedRate)),
		atMost("bytes on disk, packets of 100 bytes of noise / in one piece", 1.03, size(common)),
		atMost("bytes on disk, packets of 100 bytes of zeros / in one piece", 1.03, size(commonZeros)),
		atMost("most memory beside the ring under any load, MB", 100, r.mostMemory()),
		atMost("memory after 22 s at 500k/s / after a short recording", 1.2,
			record(rotatingLabel, common, recording.memoryMB)/record(tunrecZstd, common, recording.memoryMB)),
		atMost("time stamp of the ring, p99 at 1k/s, µs", 20, late(tunrecZstd, clockIdle, 0.99)),
		atMost("time stamp of ingest read, median at 50k/s, µs", 50, late(tunrecRead, clockBusy, 0.5)),
		atMost("wake-ups a second without a packet", 5, wakeUps),
		atMost("longest until a packet is readable at 10/s, s", 1.1, readable),
		atLeast(fmt.Sprintf("compression (zstd:better) by 2 workers / by 1, on %d CPUs", runtime.NumCPU()), 1, speed(twoWorkers)/speed(oneWorker)),
	}
}

func atMost(what string, limit, value float64) target  { return target{what, value, false, limit} }
func atLeast(what string, limit, value float64) target { return target{what, value, true, limit} }

// mostMemory is that of tunrec, however it was started.
func (r results) mostMemory() float64 {
	var all []recording
	for _, row := range r.recordings {
		if strings.HasPrefix(row.labels[0], tunrecZstd) {
			all = append(all, row.rounds...)
		}
	}
	return largest(sorted(all, recording.memoryMB))
}

func (t target) cells() []string {
	limit := "at most "
	if t.least {
		limit = "at least "
	}
	limit += short(t.limit)
	switch {
	case math.IsNaN(t.value):
		return []string{t.what, "–", limit, "not measured"}
	case t.least == (t.value >= t.limit) || t.value == t.limit:
		return []string{t.what, short(t.value), limit, "reached"}
	}
	return []string{t.what, short(t.value), limit, "**not reached**"}
}
