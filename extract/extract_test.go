package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/filter"
	"github.com/tunrec/tunrec/pcapng"
)

var zstdFormat = Format{Form: capfile.Zstd, Method: capfile.Fastest, Section: pcapng.Section{Application: "tunrec test"}}

var formats = map[string]Format{
	"zstd":   zstdFormat,
	"plain":  {Form: capfile.Plain, Section: zstdFormat.Section},
	"stream": {Form: capfile.Stream, Section: zstdFormat.Section},
	"best":   {Form: capfile.Zstd, Method: capfile.Best, Recompress: true, Section: zstdFormat.Section},
	"frames": {Frames: true, Method: capfile.Fastest, Section: zstdFormat.Section},
}

func (f Format) hasIndex() bool { return !f.Frames && f.Form != capfile.Stream }

// tsharkTimes lists time and identification of the packets that match.
func tsharkTimes(t *testing.T, name, display string) string {
	t.Helper()
	return tool(t, "tshark", "-n", "-r", name, "-Y", display, "-T", "fields", "-e", "frame.time_epoch", "-e", "ip.id")
}

// countedByWireshark has capinfos count packets: it reads files as tshark does,
// but starts in a tenth of the time.
func countedByWireshark(t *testing.T, name string) int {
	t.Helper()
	fields := strings.Fields(tool(t, "capinfos", "-cMTr", name))
	n, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func seconds(unixNano int64) string { return fmt.Sprintf("%d.%09d", unixNano/1e9, unixNano%1e9) }

func lines(packets []packet) string {
	var b strings.Builder
	for _, p := range packets {
		fmt.Fprintf(&b, "%s\t0x%04x\n", seconds(p.unixNano), p.id)
	}
	return b.String()
}

// TestRanges takes 200 random ranges out of a file, and compares them with what
// tshark lists of it; some of them by a display filter.
func TestRanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var chunks [][]packet
	at, id := begin, uint16(0)
	for range 40 {
		n := rnd.IntN(40)
		packets := run(id, n, at, rnd.Int64N(1e9))
		if n > 0 {
			at = packets[n-1].unixNano + rnd.Int64N(3e9)
		}
		id += uint16(n)
		chunks = append(chunks, packets)
	}
	name := making{}.record(t, chunks...)
	want := strings.SplitAfter(strings.TrimSpace(tsharkTimes(t, name, "ip")), "\n")
	want[len(want)-1] += "\n"
	all := slices.Concat(chunks...)
	if len(want) != len(all) {
		t.Fatalf("tshark lists %d packets of %d", len(want), len(all))
	}
	ranges := 200
	if testing.Short() {
		ranges = 20
	}
	for i := range ranges {
		o := Everything
		o.From = begin - 5e9 + rnd.Int64N(at-begin+10e9)
		o.To = o.From + 1 + rnd.Int64N(30e9)
		if i%4 == 0 { // edges: exactly at packets
			a, b := rnd.IntN(len(all)), rnd.IntN(len(all))
			o.From, o.To = all[min(a, b)].unixNano, all[max(a, b)].unixNano+int64(i%8/4)
		}
		_, file := extracted(t, []string{name}, zstdFormat, o)
		got, _ := readBack(t, file, true)
		var listed string
		for i, p := range all {
			if o.From <= p.unixNano && p.unixNano < o.To {
				listed += want[i]
			}
		}
		if i < 10 {
			display := fmt.Sprintf("frame.time_epoch >= %s and frame.time_epoch < %s", seconds(o.From), seconds(o.To))
			if byFilter := tsharkTimes(t, name, display); byFilter != listed {
				t.Fatalf("tshark -Y %q lists\n%snot\n%s", display, byFilter, listed)
			}
			if bySlice := tsharkTimes(t, save(t, file), "ip"); bySlice != listed {
				t.Fatalf("tshark lists of the slice\n%snot\n%s", bySlice, listed)
			}
		}
		if lines(got) != listed {
			t.Fatalf("%s to %s:\n%swant\n%s", seconds(o.From), seconds(o.To), lines(got), listed)
		}
	}
}

// TestFormats: all packets in every form, of files of every form.
func TestFormats(t *testing.T) {
	packets := slices.Concat(run(0, 500, begin, 1e6), run(500, 700, begin+1e9, 1e6))
	for _, from := range []making{{}, {method: capfile.Best, window: 8 << 20}, {form: capfile.Plain}, {form: capfile.Stream}, {cut: 100}} {
		name := from.record(t, packets[:500], nil, packets[500:])
		for to, format := range formats {
			t.Run(fmt.Sprintf("%v %d to %s", from.form, from.window, to), func(t *testing.T) {
				result, file := extracted(t, []string{name}, format, Everything)
				got, _ := readBack(t, file, format.hasIndex())
				if !slices.Equal(got, packets) || result.Packets != uint64(len(packets)) {
					t.Fatalf("%d packets, result %+v", len(got), result)
				}
				if copied := to == "zstd" && from.form == capfile.Zstd; copied != (result.Copied > 0) {
					t.Errorf("%d chunks were copied as they were", result.Copied)
				}
				if to == "frames" { // tshark before 4.4 reads the first one alone
					tool(t, "zstd", "-tq", save(t, file))
				} else if n := countedByWireshark(t, save(t, file)); n != len(packets) {
					t.Errorf("capinfos counts %d packets", n)
				}
			})
		}
	}
}

// TestCutChunk: packets of a chunk that hardly became shorter are not compressed
// again, unless a level was asked for or a filter took them; all others are.
func TestCutChunk(t *testing.T) {
	const n = 1500 // some 800 KiB
	packets := run(0, 3*n, begin, 1e6)
	o := Everything
	all := func([]byte, int) bool { return true }
	for _, test := range []struct {
		from  making
		match func([]byte, int) bool
		to    Format
		want  capfile.Method
	}{
		{making{method: capfile.Fastest, noise: true}, nil, zstdFormat, capfile.Stored},
		{making{method: capfile.Fastest, noise: true}, all, zstdFormat, capfile.Fastest},
		{making{method: capfile.Fastest, noise: true}, nil, formats["best"], capfile.Best},
		{making{method: capfile.Fastest}, nil, zstdFormat, capfile.Fastest},
		{making{method: capfile.Stored}, nil, zstdFormat, capfile.Fastest},
		{making{form: capfile.Plain}, nil, zstdFormat, capfile.Fastest},
		{making{form: capfile.Stream}, nil, zstdFormat, capfile.Fastest},
	} {
		o.Match = test.match
		name := test.from.record(t, packets[:n], packets[n:2*n], packets[2*n:])
		for _, r := range [][2]int{{100, 3*n - 100}, {1, 3*n - 1}, {n - 100, 2*n + 100}, {100, 200}} {
			want := packets[r[0]:r[1]]
			o.From, o.To = want[0].unixNano, packets[r[1]].unixNano
			_, file := extracted(t, []string{name}, test.to, o)
			if got, _ := readBack(t, file, true); !slices.Equal(got, want) {
				t.Fatalf("%+v, %v: %d packets", test.from, r, len(got))
			}
			reader, err := capfile.NewReader(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			for e := range reader.Chunks() {
				if copied := e.Packets == n && test.to == zstdFormat; e.Method != test.want && !copied {
					t.Errorf("%+v, %v: a chunk by method %v, want %v", test.from, r, e.Method, test.want)
				}
			}
		}
	}
}

// TestWeight: a piece weighs what it holds, however little of it is left.
func TestWeight(t *testing.T) {
	p := &piece{chunk: &capfile.Chunk{Content: make([]byte, 1000)}, memory: &memory{slab: make([]byte, 8<<20)}}
	if got := p.weight(); got < 8<<20 {
		t.Errorf("a piece in 8 MiB of memory weighs %d bytes", got)
	}
}

// TestMixedWindows: chunks of files with different windows stand in one.
func TestMixedWindows(t *testing.T) {
	var names []string
	var want []packet
	for i := range 4 {
		packets := run(uint16(i*3000), 3000, begin+int64(i)*1e10, 1e6)
		names = append(names, making{method: capfile.Default, window: 1 << (20 + i)}.record(t, packets))
		want = append(want, packets...)
	}
	result, file := extracted(t, names, zstdFormat, Everything)
	if got, _ := readBack(t, file, true); !slices.Equal(got, want) || result.Copied != 4 {
		t.Fatalf("%d packets, %+v", len(got), result)
	}
	tool(t, "zstd", "-tq", save(t, file))
}

// TestMerge merges random files, and compares with mergecap.
func TestMerge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 8 {
		var names []string
		for i := range 1 + rnd.IntN(6) {
			var chunks [][]packet
			at := begin + rnd.Int64N(20e9)
			for j := range rnd.IntN(8) {
				n := rnd.IntN(30)
				// Distances of 7 and 11 and so on: no two packets at the same time.
				chunks = append(chunks, run(uint16(i*10000+j*100), n, at+int64(i), 10+10*rnd.Int64N(1e7)))
				if n > 0 {
					at = (chunks[j][n-1].unixNano/10 + 1 + rnd.Int64N(1e8)) * 10
				}
			}
			m := making{form: []capfile.Form{capfile.Zstd, capfile.Plain, capfile.Stream}[rnd.IntN(3)]}
			names = append(names, m.record(t, chunks...))
		}
		merged := t.TempDir() + "/merged.pcapng"
		tool(t, "mergecap", slices.Concat([]string{"-w", merged}, names)...)
		want := tsharkTimes(t, merged, "ip")
		for _, format := range formats {
			_, file := extracted(t, names, format, Everything)
			if got, _ := readBack(t, file, format.hasIndex()); lines(got) != want {
				t.Fatalf("round %d: %d files:\n%swant\n%s", round, len(names), lines(got), want)
			}
		}
	}
}

// TestClockSetBack: where the clock was set back, a file's packets keep their
// order, alone and merged with others.
func TestClockSetBack(t *testing.T) {
	stepped := slices.Concat(run(0, 20, begin+10e9, 1e8), run(20, 20, begin, 1e8), run(40, 20, begin+20e9, 1e8))
	name := making{}.record(t, stepped[:10], stepped[10:30], stepped[30:45], stepped[45:])
	other := making{}.record(t, run(1000, 50, begin, 5e8))
	for _, names := range [][]string{{name}, {name, other}, {other, name}} {
		_, file := extracted(t, names, zstdFormat, Everything)
		got, _ := readBack(t, file, true)
		got = slices.DeleteFunc(got, func(p packet) bool { return p.id >= 1000 })
		if !slices.Equal(got, stepped) {
			t.Fatalf("%d files:\n%swant\n%s", len(names), lines(got), lines(stepped))
		}
	}
}

// TestGroups takes ranges out of a file of several groups of chunks, where the
// clock was set back between two of them and forward between others. Some
// chunks have no packets, but counts: they are of the time of what was before.
func TestGroups(t *testing.T) {
	const perGroup = capfile.MaxIndexEntries
	var chunks [][]packet
	for _, start := range []int64{2000, 0, 1500, 4000} {
		for i := range int64(perGroup) {
			var chunk []packet
			if i%50 != 0 {
				chunk = run(uint16(len(chunks)), 1, begin+(start+i)*1e9, 0)
			}
			chunks = append(chunks, chunk)
		}
	}
	chunks = chunks[:len(chunks)-perGroup/2]
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, m := range []making{{}, {form: capfile.Plain}, {cut: 100}} {
		m.end = capfile.End{Lost: 1000}
		m.counts = func(e *capfile.Entry) { e.DroppedByQueue, e.Dropped = 10, 100 }
		files := inspect(t, m.record(t, chunks...))
		for round := range 40 {
			o := Everything
			o.From = begin + rnd.Int64N(5000e9) - 100e9
			o.To = o.From + rnd.Int64N(1000e9)>>rnd.IntN(10)
			var want []packet
			dropped, at := uint64(0), begin
			for _, chunk := range chunks {
				earliest := at
				if len(chunk) > 0 {
					earliest = chunk[0].unixNano
					at = max(at, earliest)
				}
				if o.has(earliest) {
					want = append(want, chunk...)
					dropped += 110
				}
			}
			if o.has(at) && m.cut == 0 {
				dropped += 1000
			}
			var out memFile
			if _, err := Run(t.Context(), files, &out, zstdFormat, o); err != nil {
				t.Fatal(err)
			}
			if got, s := readBack(t, out.Bytes(), true); !slices.Equal(got, want) || s.Dropped != dropped {
				t.Fatalf("%v cut by %d: round %d: %d packets and %d dropped, want %d and %d", m.form, m.cut, round, len(got), s.Dropped, len(want), dropped)
			}
		}
	}
}

// TestIndexOnce: what was read when a file was inspected is not read again, nor
// are groups of chunks outside the range.
func TestIndexOnce(t *testing.T) {
	const n = 2*capfile.MaxIndexEntries + 5
	packets := run(0, n, begin, 1e6)
	var chunks [][]packet
	for i := range packets {
		chunks = append(chunks, packets[i:i+1])
	}
	name := making{}.record(t, chunks...)
	files := inspect(t, name)
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const last = 5*capfile.EntryLen + 60 + 4 // the last index block, the checksum
	for _, at := range []int64{0, files[0].Info.Size - last} {
		if _, err := f.WriteAt(make([]byte, 50), at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Inspect(name); err == nil {
		t.Fatal("the file is not damaged")
	}
	o := Everything
	o.From, o.To = packets[10].unixNano, packets[n-10].unixNano
	o.Damaged = func(err error) { t.Error(err) }
	result, err := Run(t.Context(), files, &memFile{}, zstdFormat, o)
	if err != nil || result.Packets != n-20 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestCount(t *testing.T) {
	packets := run(0, 300, begin, 1e6)
	name := making{}.record(t, packets[:100], packets[100:200], packets[200:])
	for _, n := range []int{1, 99, 100, 101, 199, 200, 201, 299, 300, 301} {
		o := Everything
		o.Count = uint64(n)
		result, file := extracted(t, []string{name}, zstdFormat, o)
		got, _ := readBack(t, file, true)
		if want := packets[:min(n, 300)]; !slices.Equal(got, want) || result.Packets != uint64(len(want)) {
			t.Fatalf("--count %d: %d packets, %+v", n, len(got), result)
		}
	}
}

// TestFilter takes what a filter takes, packs it, and counts the rest.
func TestFilter(t *testing.T) {
	packets := run(0, 1000, begin, 1e6)
	name := making{}.record(t, packets[:300], packets[300:600], packets[600:])
	p, err := filter.Compile("ip[4:2] % 10 = 3", filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := Everything
	o.Match, o.From, o.To = p.Match, packets[100].unixNano, packets[900].unixNano
	result, file := extracted(t, []string{name}, zstdFormat, o)
	got, s := readBack(t, file, true)
	var want []packet
	for _, p := range packets[100:900] {
		if p.id%10 == 3 {
			want = append(want, p)
		}
	}
	if !slices.Equal(got, want) || result.Chunks != 1 {
		t.Fatalf("%d packets, %+v", len(got), result)
	}
	if s.Received != 800 || s.FilterAccept != 80 || s.Delivered != 80 {
		t.Fatalf("statistics %+v", s)
	}
}

// TestLosses: what a file says of losses is kept, in every form that is merged
// or cut.
func TestLosses(t *testing.T) {
	packets := run(0, 300, begin, 1e6)
	m := making{
		end:    capfile.End{Start: begin - 5, Stop: begin + 1e12, Lost: 1000},
		counts: func(e *capfile.Entry) { e.Filtered, e.DroppedByQueue, e.Dropped = 1, 10, 100 },
	}
	name := m.record(t, packets[:100], nil, packets[100:], nil)
	want := pcapng.Statistics{Start: begin - 5, End: begin + 1e12, Received: 300 + 4*111 + 1000,
		Dropped: 4*110 + 1000, FilterAccept: 300 + 4*100 + 1000, OSDropped: 40, Delivered: 300}
	for to, format := range formats {
		_, file := extracted(t, []string{name}, format, Everything)
		if _, got := readBack(t, file, format.hasIndex()); got != want {
			t.Errorf("%s: statistics %+v\nwant %+v", to, got, want)
		}
	}
	o := Everything
	o.From = packets[150].unixNano // a part of the second chunk with packets, and the end
	_, file := extracted(t, []string{name}, zstdFormat, o)
	want = pcapng.Statistics{Start: o.From, End: begin + 1e12, Received: 150 + 2*111 + 1000,
		Dropped: 2*110 + 1000, FilterAccept: 150 + 2*100 + 1000, OSDropped: 20, Delivered: 150}
	if _, got := readBack(t, file, true); got != want {
		t.Errorf("from the middle: statistics %+v\nwant %+v", got, want)
	}
}

// TestDescription: what a file says of its capture and of losses is kept by the
// forms without index, and read from them as a whole file is taken over.
func TestDescription(t *testing.T) {
	section := pcapng.Section{Comment: "a comment", Hardware: "abacus", OS: "an OS", Application: "tunrec test",
		InterfaceName: "tun7", InterfaceDescription: "a tunnel", Filter: "udp", Snaplen: 4000}
	packets := run(0, 300, begin, 1e6)
	m := making{
		section: section,
		end:     capfile.End{Start: begin - 5, Stop: begin + 1e12, Lost: 1000},
		counts:  func(e *capfile.Entry) { e.Filtered, e.DroppedByQueue, e.Dropped = 1, 10, 100 },
	}
	name := m.record(t, packets[:100], nil, packets[100:])
	want := inspect(t, name)[0].Info
	m.form = capfile.Stream
	saved := map[string]string{"a stream": m.record(t, packets[:100], nil, packets[100:])}
	saved["a compressed stream"] = save(t, []byte(tool(t, "zstd", "-cq", saved["a stream"])))
	_, frames := extracted(t, []string{name}, Format{Frames: true, Method: capfile.Fastest, Section: section}, Everything)
	saved["frames"] = save(t, frames)

	half := Everything
	half.From = packets[150].unixNano
	for what, name := range saved {
		files := inspect(t, name)
		if got := Section(files); files[0].Foreign == nil || got != (pcapng.Section{Comment: "a comment", Hardware: "abacus",
			OS: "an OS", InterfaceName: "tun7", InterfaceDescription: "a tunnel", Filter: "udp", Snaplen: 4000}) {
			t.Errorf("%s: section %+v", what, got)
		}
		_, file := extracted(t, []string{name}, zstdFormat, Everything)
		if _, got := readBack(t, file, true); got != want.Statistics {
			t.Errorf("%s: statistics %+v\nwant %+v", what, got, want.Statistics)
		}
		_, file = extracted(t, []string{name}, zstdFormat, half)
		if _, got := readBack(t, file, true); got.Delivered != 150 || got.Dropped != 0 || got.Received != 150 {
			t.Errorf("a part of %s: statistics %+v", what, got)
		}
	}

	// Two sections: what the first one says does not go for the other.
	stream, err := os.ReadFile(saved["a stream"])
	if err != nil {
		t.Fatal(err)
	}
	result, file := extracted(t, []string{save(t, slices.Repeat(stream, 2))}, zstdFormat, Everything)
	if _, got := readBack(t, file, true); got.Delivered != 600 || got.Dropped != 0 || len(result.Mixed) != 1 {
		t.Errorf("two sections: statistics %+v, %+v", got, result)
	}
}

// TestDamage: a chunk with a wrong byte is left out and told.
func TestDamage(t *testing.T) {
	packets := run(0, 300, begin, 1e6)
	for _, form := range []capfile.Form{capfile.Zstd, capfile.Plain} {
		name := making{form: form}.record(t, packets[:100], packets[100:200], packets[200:])
		r, err := capfile.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var entries []capfile.Entry
		for e := range r.Chunks() {
			entries = append(entries, e)
		}
		r.Close()
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file[entries[1].FileOffset+uint64(entries[1].StoredLen)/2] ^= 0x10
		o := Everything
		var told []error
		o.Damaged = func(err error) { told = append(told, err) }
		result, out := extracted(t, []string{save(t, file)}, zstdFormat, o)
		got, _ := readBack(t, out, true)
		if !slices.Equal(got, slices.Concat(packets[:100], packets[200:])) || result.Damaged != 1 || len(told) != 1 {
			t.Fatalf("%v: %d packets, told %v", form, len(got), told)
		}
		if at := strconv.Itoa(int(entries[1].FileOffset)); !strings.Contains(told[0].Error(), at) {
			t.Errorf("%v does not say byte %s", told[0], at)
		}
	}
}

// TestFilesOutside: of a series, files without a packet in the range are not
// opened.
func TestFilesOutside(t *testing.T) {
	packets := run(0, 300, begin, 1e6)
	var names []string
	for chunk := range slices.Chunk(packets, 100) {
		names = append(names, making{}.record(t, chunk))
	}
	files := inspect(t, names...)
	for _, outside := range []string{names[0], names[2]} {
		if err := os.Remove(outside); err != nil {
			t.Fatal(err)
		}
	}
	o := Everything
	o.From, o.To = packets[100].unixNano, packets[200].unixNano
	o.Damaged = func(err error) { t.Error(err) }
	result, err := Run(t.Context(), files, &memFile{}, zstdFormat, o)
	if err != nil || result.Packets != 100 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestProgress: what is said to be read grows to what packets take of the file.
func TestProgress(t *testing.T) {
	packets := run(0, 3000, begin, 1e6)
	for _, name := range []string{
		making{form: capfile.Zstd}.record(t, packets[:1000], packets[1000:2000], packets[2000:]),
		making{form: capfile.Plain}.record(t, packets[:1000], packets[1000:]),
		"../testdata/pcaps/tls.pcapng",
	} {
		stat, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		var told []int64
		o := Everything
		o.Progress = func(done int64) { told = append(told, done) }
		extracted(t, []string{name}, zstdFormat, o)
		if last := told[len(told)-1]; !slices.IsSorted(told) || last > stat.Size() || last < stat.Size()*9/10 {
			t.Errorf("%s of %d bytes: told %v", name, stat.Size(), told)
		}
	}
}

// TestForeign reads what others have made: the sum over the test captures.
func TestForeign(t *testing.T) {
	files := map[string]int{"dns.pcap": 16, "http.pcap": 18, "tls.pcapng": 55, "sizes.pcap": 18, "snaplen.pcap": 34, "null.pcap": 24, "icmp.ns.pcap": 12}
	for name, want := range files {
		result, _ := extracted(t, []string{"../testdata/pcaps/" + name}, zstdFormat, Everything)
		if name == "sizes.pcap" {
			want = int(result.Packets + result.Skipped.Total())
			if want != 20 {
				t.Errorf("%s: %+v", name, result)
			}
			continue
		}
		if result.Packets != uint64(want) {
			t.Errorf("%s: %+v, want %d packets", name, result, want)
		}
	}
	result, _ := extracted(t, []string{"../testdata/pcaps/ethernet.pcap"}, zstdFormat, Everything)
	if result.Packets+result.Skipped.Total() != 28 || result.Skipped.Total() == 0 {
		t.Errorf("ethernet.pcap: %+v", result)
	}
	first, last, err := Span(inspect(t, "../testdata/pcaps/dns.pcap"))
	if err != nil || first >= last {
		t.Errorf("span of dns.pcap: %d to %d, %v", first, last, err)
	}
	o := Everything
	o.From, o.To = first, last
	if result, _ := extracted(t, []string{"../testdata/pcaps/dns.pcap"}, zstdFormat, o); result.Packets != 15 {
		t.Errorf("all of dns.pcap but the last packet: %+v", result)
	}
}

// TestForeignCut: a file of others that is cut off gives what is before.
func TestForeignCut(t *testing.T) {
	file, err := os.ReadFile("../testdata/pcaps/dns.pcap")
	if err != nil {
		t.Fatal(err)
	}
	var told []error
	o := Everything
	o.Damaged = func(err error) { told = append(told, err) }
	for to, format := range formats {
		told = nil
		result, _ := extracted(t, []string{save(t, file[:len(file)-1])}, format, o)
		if result.Packets != 15 || len(told) != 1 {
			t.Fatalf("%s: %+v, told %v", to, result, told)
		}
	}
}

// TestTooManyAtOnce: files of the same time are merged, as those of many recorders
// are, but refused where it would take too much memory.
func TestTooManyAtOnce(t *testing.T) {
	chunk := make([]packet, 1000)
	for i := range chunk {
		chunk[i] = packet{begin + int64(i)*1e9, uint16(i), 2000}
	}
	name := making{}.record(t, chunk)
	names := slices.Repeat([]string{name}, 70)
	var out memFile
	result, err := Run(context.Background(), inspect(t, names[:30]...), &memFile{}, zstdFormat, Everything)
	if err != nil || result.Packets != 30_000 {
		t.Errorf("30 times 2 MB at once: %+v, %v", result, err)
	}
	_, err = Run(context.Background(), inspect(t, names...), &out, zstdFormat, Everything)
	if err == nil || !strings.Contains(err.Error(), "packets of the same time") {
		t.Fatalf("70 times 2 MB at once: %v", err)
	}
}

// fullFile fails its nth write.
type fullFile struct {
	memFile
	left int
}

var errFull = errors.New("no space left on device")

func (f *fullFile) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return f.memFile.Write(b)
}

// TestWriteFails fails every write in turn, and looks for goroutines and files
// that stay behind.
func TestWriteFails(t *testing.T) {
	var chunks [][]packet
	for i := range 20 {
		chunks = append(chunks, run(uint16(i*10), 10, begin+int64(i)*1e9, 1e6))
	}
	files := inspect(t, making{}.record(t, chunks...), making{form: capfile.Plain}.record(t, chunks...))
	goroutines, descriptors := runtime.NumGoroutine(), openFiles(t)
	for to, format := range formats {
		for n := range 3 {
			if _, err := Run(context.Background(), files, &fullFile{left: n}, format, Everything); !errors.Is(err, errFull) && !(n == 2 && err == nil) && !(to == "stream" && err == nil) {
				t.Fatalf("%s: write %d fails: %v", to, n, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, files, &memFile{}, zstdFormat, Everything); !errors.Is(err, context.Canceled) {
		t.Fatalf("canceled: %v", err)
	}
	if n := openFiles(t); n != descriptors {
		t.Errorf("%d files are open, %d were", n, descriptors)
	}
	// Those that have sent their result are on their way out.
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			var stacks strings.Builder
			pprof.Lookup("goroutine").WriteTo(&stacks, 2)
			t.Fatalf("%d goroutines were there, now:\n%s", goroutines, &stacks)
		}
	}
}

// TestEitherFilter: what is noted of merged files is a filter, and true.
func TestEitherFilter(t *testing.T) {
	for want, filters := range map[string][]string{
		"tcp":            {"tcp", "tcp"},
		"(tcp) or (udp)": {"tcp", "udp", "tcp"},
		"":               {"tcp", ""},
	} {
		var files []*File
		for _, f := range filters {
			files = append(files, &File{Info: capfile.Info{Section: pcapng.Section{Filter: f}}})
		}
		if got := Section(files).Filter; got != want {
			t.Errorf("%q: %q, not %q", filters, got, want)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestFrames: every frame decodes alone, and none ends where Wireshark stumbles.
func TestFrames(t *testing.T) {
	var out memFile
	f, err := newFrames(&out, capfile.Fastest)
	if err != nil {
		t.Fatal(err)
	}
	var content []byte
	for i := range 2000 {
		rnd := rand.New(rand.NewPCG(uint64(i), 5))
		b := make([]byte, 1+rnd.IntN(40000))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		content = append(content, b...)
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if d := tool(t, "zstd", "-dcq", save(t, out.Bytes())); d != string(content) {
		t.Fatal("frames decode to something else")
	}
}

// TestFramesContent: frames of large chunks decode to what a stream holds.
func TestFramesContent(t *testing.T) {
	name := making{}.record(t, run(0, 20000, begin, 1e6))
	format := Format{Form: capfile.Stream}
	_, stream := extracted(t, []string{name}, format, Everything)
	format.Frames, format.Method = true, capfile.Fastest
	_, frames := extracted(t, []string{name}, format, Everything)
	if d := tool(t, "zstd", "-dcq", save(t, frames)); d != string(stream) || len(d) < slabBytes {
		t.Errorf("frames decode to %d bytes, a stream has %d", len(d), len(stream))
	}
}

// TestFramesPadding writes a frame that would end 1, 2 and 3 bytes before the
// end of a window.
func TestFramesPadding(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for short := range uint64(6) {
		var out memFile
		f, err := newFrames(&out, capfile.Fastest)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1000)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		frame := f.encoder.EncodeAll(b, nil)
		f.mark(0)
		f.offset = readWindow - uint64(len(frame)) - short
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		padded := out.Len() > len(frame)
		if want := short >= 1 && short <= 3; padded != want {
			t.Errorf("a frame that ends %d bytes before the end of the window is padded: %v", short, padded)
		}
		if d := tool(t, "zstd", "-dcq", save(t, out.Bytes())); d != string(b) {
			t.Errorf("a padded frame decodes to %d other bytes", len(d))
		}
	}
}

func TestSection(t *testing.T) {
	files := make([]*File, 3)
	for i := range files {
		files[i] = &File{}
		files[i].Info.Section = pcapng.Section{InterfaceName: "tun0", Comment: strings.Repeat("x", i), Snaplen: uint32(100 + i)}
	}
	files[2].Info.Section.InterfaceName = "tun1"
	want := pcapng.Section{InterfaceName: "tun0, tun1", Comment: "x, xx", Snaplen: 102}
	if got := Section(files); got != want {
		t.Errorf("section %+v", got)
	}
	files[1].Info.Section.Snaplen = 0
	files[0].Info.Section.Comment = strings.Repeat("y", pcapng.MaxOptionLen-10)
	got := Section(files)
	if _, err := got.Encode(); err != nil || got.Snaplen != 0 {
		t.Errorf("snaplen %d, %v", got.Snaplen, err)
	}
}

// FuzzRun gives Run files from strangers: it ends, and what it writes is whole.
func FuzzRun(f *testing.F) {
	packets := run(0, 30, begin, 1e6)
	for _, m := range []making{{}, {form: capfile.Plain}, {cut: 50}, {form: capfile.Stream}} {
		file, err := os.ReadFile(m.record(f, packets[:10], nil, packets[10:]))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		in, err := Inspect(save(t, file))
		if err != nil {
			return
		}
		for _, format := range []Format{zstdFormat, formats["plain"]} {
			var out memFile
			result, err := Run(context.Background(), []*File{in, in}, &out, format, Options{From: begin + 2e6, To: math.MaxInt64})
			if err != nil {
				t.Fatal(err)
			}
			r, err := capfile.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
			if err != nil || r.Info().Damage != nil {
				t.Fatalf("the output: %v, %v", err, r.Info().Damage)
			}
			n := uint64(0)
			for _, err := range r.Packets(math.MinInt64, math.MaxInt64) {
				if n++; err != nil {
					t.Fatal(err)
				}
			}
			if n != result.Packets {
				t.Fatalf("%d packets in the output, not %d", n, result.Packets)
			}
		}
	})
}
