package recorder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/rotate"
)

// seriesFile is a complete file of a series, as it is on disk.
type seriesFile struct {
	name    string
	size    int64
	packets [][]byte
	stamps  []int64
	index   []capfile.Entry
}

// readSeries reads all files in dir, in the order of their names.
func readSeries(t *testing.T, dir string) []seriesFile {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.pcapng*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var files []seriesFile
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f := seriesFile{name: filepath.Base(name), size: int64(len(b))}
		r, err := capfile.NewReader(bytes.NewReader(b), f.size)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		if damage := r.Info().Damage; damage != nil { // no index, too
			t.Fatalf("%s: %v", f.name, damage)
		}
		for e, err := range r.Chunks() {
			if err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
			f.index = append(f.index, e)
		}
		if strings.HasSuffix(name, ".zst") {
			d, err := zstd.NewReader(nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err = d.DecodeAll(b, nil)
			d.Close()
			if err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
		}
		s := pcapng.NewScanner(bytes.NewReader(b))
		for s.Next() == nil {
			if p := s.Packet(); p != nil {
				f.packets = append(f.packets, bytes.Clone(p.Data))
				f.stamps = append(f.stamps, p.UnixNano)
			}
		}
		if s.Err() != nil {
			t.Fatalf("%s: %v", f.name, s.Err())
		}
		files = append(files, f)
	}
	return files
}

// series is a recording of a series in a directory of its own.
type series struct {
	dir    string
	src    *fakeSource
	config Config
	files  FilesConfig

	mu     sync.Mutex
	events []any
	wake   chan struct{} // gets a token with each event
}

func newSeries(t *testing.T, p rotate.Policy) *series {
	t.Helper()
	s := &series{dir: t.TempDir(), src: newFakeSource(), wake: make(chan struct{}, 1)}
	s.config = Config{Source: s.src, SlabBytes: MinSlabBytes, Method: capfile.Fastest, Patient: true, FilePackets: p.Packets}
	s.files = FilesConfig{Policy: p, Method: capfile.Fastest, Packet: 200, Sync: SyncNever,
		Capture: capfile.Config{Section: pcapng.Section{Application: "tunrec test"}}, Event: s.event}
	return s
}

func (s *series) event(e any) {
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// waitFor waits until an event is one that is asked for.
func (s *series) waitFor(match func(any) bool) {
	for {
		s.mu.Lock()
		found := slices.ContainsFunc(s.events, match)
		s.mu.Unlock()
		if found {
			return
		}
		<-s.wake
	}
}

// start opens the series and runs a recording of it.
func (s *series) start(t *testing.T, ctx context.Context) (r *Recorder, wait func() error) {
	t.Helper()
	suffix := ".pcapng.zst"
	if s.config.Form == capfile.Plain {
		suffix = ".pcapng"
	}
	ser, err := rotate.OpenSeries(rotate.Config{Name: filepath.Join(s.dir, "cap"), Suffix: suffix, Policy: s.files.Policy,
		Inspect: func(f *os.File) (rotate.Info, error) { return rotate.Info{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	s.files.Series, s.files.GiveUp, s.files.Capture.Form = ser, ctx, s.config.Form
	sink, err := NewFileSink(s.files)
	if err != nil {
		t.Fatal(err)
	}
	s.config.Sink = sink
	r = newRecorder(t, s.config)
	finish := run(t, r, ctx)
	return r, func() error { return errors.Join(finish(), ser.Close()) }
}

// record records what the source has until it ends.
func (s *series) record(t *testing.T) (*Recorder, []seriesFile) {
	t.Helper()
	s.src.finish(io.EOF)
	r, wait := s.start(t, context.Background())
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	return r, readSeries(t, s.dir)
}

func joinPackets(files []seriesFile) (all [][]byte) {
	for _, f := range files {
		all = append(all, f.packets...)
	}
	return all
}

func TestPacketsPerFileExact(t *testing.T) {
	for _, n := range []uint64{1, 7, 100, 999, 1000, 1001} {
		s := newSeries(t, rotate.Policy{Packets: n})
		sent := numbered(0, 1000)
		if n > 1 {
			sent = numbered(0, 20*int(n)+3)
		}
		s.src.push(sent...)
		_, files := s.record(t)
		for i, f := range files {
			if want := min(int(n), len(sent)-i*int(n)); len(f.packets) != want {
				t.Fatalf("packets:%d: file %d has %d packets, want %d", n, i+1, len(f.packets), want)
			}
		}
		checkPackets(t, joinPackets(files), sent)
	}
}

func TestFilesizeNeverExceeded(t *testing.T) {
	for _, form := range []capfile.Form{capfile.Zstd, capfile.Plain} {
		for _, limit := range []uint64{3000, 10000, 65536, 200001} {
			t.Run(fmt.Sprint(form, limit), func(t *testing.T) {
				s := newSeries(t, rotate.Policy{FileBytes: limit})
				s.config.Form = form
				packets := 30000
				if testing.Short() {
					packets = 5000
				}
				sent := numbered(0, packets)
				for _, p := range sent { // incompressible
					r := rand.NewPCG(uint64(len(p)), binary.BigEndian.Uint64(p))
					for i := 8; i < len(p); i++ {
						p[i] = byte(r.Uint64())
					}
				}
				s.src.push(sent...)
				_, files := s.record(t)
				for _, f := range files[:len(files)-1] {
					if uint64(f.size) > limit {
						t.Errorf("%s has %d bytes, the limit is %d", f.name, f.size, limit)
					}
					if uint64(f.size) < limit/3 {
						t.Errorf("%s has only %d bytes, the limit is %d", f.name, f.size, limit)
					}
				}
				checkPackets(t, joinPackets(files), sent)
			})
		}
	}
}

// TestTooSmallFilesize: a limit that one packet does not fit in is refused.
func TestTooSmallFilesize(t *testing.T) {
	s := newSeries(t, rotate.Policy{FileBytes: 500})
	s.files.Series, _ = rotate.OpenSeries(rotate.Config{Name: filepath.Join(s.dir, "cap"), Suffix: ".pcapng.zst",
		Policy: s.files.Policy, Inspect: func(*os.File) (rotate.Info, error) { return rotate.Info{}, nil }})
	defer s.files.Series.Close()
	if _, err := NewFileSink(s.files); err == nil || !strings.Contains(err.Error(), "files of 500 bytes") {
		t.Fatalf("error is %v", err)
	}
}

// TestIntervalByTimeStamp: each packet is in the file of its own interval,
// whatever else ends files, and also where the clock is set back.
func TestIntervalByTimeStamp(t *testing.T) {
	for _, p := range []rotate.Policy{{Interval: time.Minute}, {Interval: time.Minute, Packets: 50}, {Interval: time.Minute, FileBytes: 3000}} {
		s := newSeries(t, p)
		s.config.Patient = false
		s.config.DrainMax = 1 << 20
		s.config.Slabs = 64
		s.config.FlushInterval = time.Hour
		stamps := []int64{}
		r := rand.New(rand.NewPCG(1, 2))
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local).UnixNano()
		for i := range 3000 {
			if i == 2000 {
				at -= int64(10 * time.Minute) // the clock is set back
			}
			at += r.Int64N(int64(2 * time.Second))
			stamps = append(stamps, at)
		}
		s.src.stamps = stamps
		sent := numbered(0, len(stamps))
		s.src.push(sent...)
		_, files := s.record(t)
		checkPackets(t, joinPackets(files), sent)
		for _, f := range files {
			lo, hi := rotate.IntervalBounds(time.Unix(0, f.stamps[0]), time.Minute)
			for _, stamp := range f.stamps {
				if stamp < lo.UnixNano() || stamp >= hi.UnixNano() {
					t.Fatalf("%v: %s has packets of %v and %v", p, f.name, time.Unix(0, f.stamps[0]), time.Unix(0, stamp))
				}
			}
			if p.Packets > 0 && len(f.packets) > int(p.Packets) || p.FileBytes > 0 && f.size > int64(p.FileBytes) {
				t.Fatalf("%v: %s has %d packets in %d bytes", p, f.name, len(f.packets), f.size)
			}
		}
		if p.Packets == 0 && p.FileBytes == 0 {
			want := 1
			for i := 1; i < len(stamps); i++ {
				a, _ := rotate.IntervalBounds(time.Unix(0, stamps[i-1]), time.Minute)
				b, _ := rotate.IntervalBounds(time.Unix(0, stamps[i]), time.Minute)
				if !a.Equal(b) {
					want++
				}
			}
			if len(files) != want {
				t.Fatalf("%d files, the packets are of %d intervals", len(files), want)
			}
		}
	}
}

// TestWaitingPacketsAreOfTheirTime: where the time of a file is over, packets that
// wait to be read may be of it: more of them than others hear of at once.
func TestWaitingPacketsAreOfTheirTime(t *testing.T) {
	s := newSeries(t, rotate.Policy{Interval: time.Minute})
	s.config.Patient, s.config.FlushInterval = false, time.Hour
	s.config.SlabBytes = 1 << 20 // more than publishEvery packets
	const packets = 10 * publishEvery
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local).UnixNano()
	for i := range int64(packets) {
		s.src.stamps = append(s.src.stamps, at+i)
	}
	sent := numbered(0, packets)
	s.src.push(sent...)
	s.src.finish(io.EOF)
	s.src.gate, s.src.gateAt = make(chan struct{}), packets/2
	_, wait := s.start(t, context.Background())
	<-s.src.gate
	s.waitFor(func(e any) bool { _, ok := e.(FileOpened); return ok })
	s.src.gate <- struct{}{}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	files := readSeries(t, s.dir)
	checkPackets(t, joinPackets(files), sent)
	if len(files) != 1 {
		t.Errorf("%d files for packets of one interval", len(files))
	}
}

func TestDurationByTimeStamp(t *testing.T) {
	s := newSeries(t, rotate.Policy{Duration: 10 * time.Second})
	for i := range int64(1000) { // ten a second
		s.src.stamps = append(s.src.stamps, 1e18+i*1e8)
	}
	sent := numbered(0, 1000)
	s.src.push(sent...)
	_, files := s.record(t)
	if len(files) != 10 {
		t.Fatalf("%d files", len(files))
	}
	for _, f := range files {
		if len(f.packets) != 100 || f.stamps[99]-f.stamps[0] >= int64(10*time.Second) {
			t.Fatalf("%s has %d packets", f.name, len(f.packets))
		}
	}
	checkPackets(t, joinPackets(files), sent)
}

// TestDurationWithOthers: no file lasts longer than its duration, whatever
// else ends files, and where the clock is set back.
func TestDurationWithOthers(t *testing.T) {
	for _, p := range []rotate.Policy{
		{Duration: 10 * time.Second}, {Duration: 10 * time.Second, Packets: 100},
		{Duration: 10 * time.Second, FileBytes: 4000}, {Duration: 10 * time.Second, Interval: 15 * time.Second},
	} {
		s := newSeries(t, p)
		at := int64(1e18)
		for i := range 2000 {
			switch {
			case i < 150:
				at += 33e6
			case i == 1000:
				at -= int64(time.Hour)
			default:
				at += 1e9 / int64(1+i%3)
			}
			s.src.stamps = append(s.src.stamps, at)
		}
		sent := numbered(0, 2000)
		s.src.push(sent...)
		_, files := s.record(t)
		checkPackets(t, joinPackets(files), sent)
		for _, f := range files {
			if d := slices.Max(f.stamps) - slices.Min(f.stamps); d >= int64(10*time.Second) {
				t.Errorf("%+v: %s lasts %v", p, f.name, time.Duration(d))
			}
		}
	}
}

// TestFullFileEndsAtOnce: a file that has all its packets ends without waiting
// for another one, and so does the recording where that was the last.
func TestFullFileEndsAtOnce(t *testing.T) {
	s := newSeries(t, rotate.Policy{Packets: 5})
	s.config.FlushInterval = time.Millisecond
	s.files.Stop.Files = 2
	s.src.push(numbered(0, 10)...)
	_, wait := s.start(t, context.Background())
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if files := readSeries(t, s.dir); len(files) != 2 || len(files[1].packets) != 5 {
		t.Fatalf("%d files", len(files))
	}
}

// TestEmptyFilesStepThroughTime: each interval has its file, also those in
// which no packet came.
func TestEmptyFilesStepThroughTime(t *testing.T) {
	s := newSeries(t, rotate.Policy{Interval: 10 * time.Second})
	s.files.EmptyFiles, s.files.Unordered = true, true
	begin := time.Date(2026, 3, 1, 8, 53, 20, 0, time.Local).UnixNano()
	for _, second := range []int64{0, 1, 2, 35, 36, 37} {
		s.src.stamps = append(s.src.stamps, begin+second*1e9)
	}
	s.src.push(numbered(0, 6)...)
	_, files := s.record(t)
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprint(f.name[len("cap_00001_20260301"):][:6], len(f.packets)))
	}
	if want := []string{"0853203", "0853300", "0853400", "0853503"}; !slices.Equal(got, want) {
		t.Fatalf("files %v, want %v", got, want)
	}
}

// TestTimerWithoutPackets: a file ends in time although no packet comes, and
// no empty one is made, unless asked for.
func TestTimerWithoutPackets(t *testing.T) {
	for _, empty := range []bool{false, true} {
		s := newSeries(t, rotate.Policy{Duration: 30 * time.Millisecond})
		s.config.Patient, s.files.EmptyFiles = false, empty
		s.src.wallClock = true
		ctx, cancel := context.WithCancel(context.Background())
		_, wait := s.start(t, ctx)
		s.src.push(numbered(0, 3)...)
		want := map[bool]int{false: 1, true: 3}[empty]
		seen := map[string]bool{}
		s.waitFor(func(e any) bool {
			if f, ok := e.(FileClosed); ok {
				if f.Reason != ReasonDuration {
					t.Errorf("%s ended by %s", f.Name, f.Reason)
				}
				seen[f.Name] = true
			}
			return len(seen) >= want
		})
		cancel()
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		files := readSeries(t, s.dir)
		checkPackets(t, joinPackets(files), numbered(0, 3))
		if !empty && len(files) != 1 {
			t.Fatalf("%d files for three packets and some silence", len(files))
		}
	}
}

func TestSignalEndsFile(t *testing.T) {
	s := newSeries(t, rotate.Policy{Files: 10, FileBytes: 1e9})
	s.config.Patient = false
	ctx, cancel := context.WithCancel(context.Background())
	r, wait := s.start(t, ctx)
	seen := map[string]bool{}
	for i := range 3 {
		s.src.push(numbered(i, 1)...)
		for r.Stats().Received <= uint64(i) {
			<-s.src.idle
		}
		r.EndFile()
		s.waitFor(func(e any) bool {
			if f, ok := e.(FileClosed); ok && f.Reason == ReasonSignal {
				seen[f.Name] = true
			}
			return len(seen) > i
		})
	}
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	files := readSeries(t, s.dir)
	if len(files) != 3 {
		t.Fatalf("%d files", len(files))
	}
	checkPackets(t, joinPackets(files), numbered(0, 3))
}

func TestStopAfterFiles(t *testing.T) {
	s := newSeries(t, rotate.Policy{Packets: 100})
	s.files.Stop.Files = 3
	sent := numbered(0, 50000)
	s.src.push(sent...)
	r, files := s.record(t)
	if len(files) != 3 {
		t.Fatalf("%d files", len(files))
	}
	checkPackets(t, joinPackets(files), sent[:300])
	if st := r.Stats(); st.Recorded != 300 || st.Received != st.Recorded || st.AfterLimit == 0 || st.Lost() != 0 {
		t.Fatalf("counts: %+v", st)
	}
}

func TestStopAtFilesize(t *testing.T) {
	s := newSeries(t, rotate.Policy{})
	s.files.Stop.FileBytes = 20000
	sent := numbered(0, 50000)
	s.src.push(sent...)
	r, files := s.record(t)
	if len(files) != 1 || files[0].size > 20000 || files[0].size < 10000 {
		t.Fatalf("%d files, the first has %d bytes", len(files), files[0].size)
	}
	checkPackets(t, files[0].packets, sent[:len(files[0].packets)])
	if st := r.Stats(); st.Received != st.Recorded || st.AfterLimit == 0 || st.Lost() != 0 {
		t.Fatalf("counts: %+v", st)
	}
}

// TestDirectoryGone: while the directory is away the recording goes on in
// memory; when it is back everything is written.
func TestDirectoryGone(t *testing.T) {
	s := newSeries(t, rotate.Policy{Packets: 10})
	s.config.Patient, s.config.FlushInterval = false, time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	_, wait := s.start(t, ctx)
	s.src.push(numbered(0, 15)...)
	s.waitFor(func(e any) bool { _, ok := e.(FileClosed); return ok })
	for os.RemoveAll(s.dir) != nil { // a file was made in between
	}
	s.src.push(numbered(15, 100)...)
	s.waitFor(func(e any) bool { _, ok := e.(Trouble); return ok })
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.waitFor(func(e any) bool { _, ok := e.(Recovered); return ok })
	cancel()
	wait() // a file that was open when its folder went may fail to close
	got := joinPackets(readSeries(t, s.dir))
	if len(got) == 0 || binary.BigEndian.Uint64(got[len(got)-1]) != 114 {
		t.Fatalf("%d packets after the directory was back", len(got))
	}
	for i, p := range got {
		if want := 115 - len(got) + i; binary.BigEndian.Uint64(p) != uint64(want) {
			t.Fatalf("packet %d of %d is number %d, want %d", i, len(got), binary.BigEndian.Uint64(p), want)
		}
	}
}

// TestRetentionKeepsSuffix: with random policies and streams, the packets of
// all kept files joined are the end of what was sent, in order, nothing twice.
func TestRetentionKeepsSuffix(t *testing.T) {
	seeds := uint64(25)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 3))
		p := rotate.Policy{}
		if r.IntN(2) == 0 {
			p.Packets = 1 + r.Uint64N(300)
		}
		if r.IntN(2) == 0 || p.Packets == 0 {
			p.FileBytes = 2500 + r.Uint64N(20000)
		}
		if r.IntN(2) == 0 {
			p.Interval = time.Duration(1+r.IntN(20)) * time.Second
		}
		if r.IntN(3) > 0 {
			p.Files = 2 + r.IntN(5)
		}
		if r.IntN(2) == 0 {
			p.TotalBytes = max(4*p.FileBytes, 30000) + r.Uint64N(50000)
		}
		t.Run(fmt.Sprintf("%d %+v", seed, p), func(t *testing.T) {
			s := newSeries(t, p)
			at := int64(1e18)
			for range 5000 {
				at += r.Int64N(int64(20 * time.Millisecond))
				s.src.stamps = append(s.src.stamps, at)
			}
			sent := numbered(0, 5000)
			s.src.push(sent...)
			rec, files := s.record(t)
			got := joinPackets(files)
			checkPackets(t, got, sent[len(sent)-len(got):])
			if st := rec.Stats(); st.Recorded != 5000 {
				t.Fatalf("counts: %+v", st)
			}
			var total int64
			for _, f := range files {
				total += f.size
			}
			if p.Files > 0 && len(files) > p.Files || p.TotalBytes > 0 && total > int64(p.TotalBytes) {
				t.Fatalf("%d files with %d bytes are kept", len(files), total)
			}
			if p.Files == 0 && p.TotalBytes == 0 && len(got) != len(sent) {
				t.Fatalf("%d packets are kept of %d, without a limit", len(got), len(sent))
			}
		})
	}
}
