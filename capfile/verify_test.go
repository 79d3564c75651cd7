package capfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// full tells how much random tests try: a number from the environment (make
// long), else one with which all tests of the package take about half a minute
// on two processors, and with -short a tenth of that.
func full(t testing.TB, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	switch {
	case text == "" && testing.Short():
		return (otherwise + 9) / 10
	case text == "":
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// onAll runs a test for every one of values, on all processors; under the race
// detector, which would take minutes, for a tenth of them.
func onAll[T any](t *testing.T, form Form, values []T, test func(*testing.T, T)) {
	n := runtime.GOMAXPROCS(0)
	step := n
	if raceEnabled {
		step *= 10
	}
	for i := range n {
		t.Run(fmt.Sprintf("%v-%d", form, i), func(t *testing.T) {
			t.Parallel()
			for at := i; at < len(values); at += step {
				test(t, values[at])
			}
		})
	}
}

// flip is a changed bit of a file.
type flip struct {
	at  int
	bit byte
}

// flips are random ones.
func (r *recording) flips(rnd *rand.Rand, n int) []flip {
	flips := make([]flip, n)
	for i := range flips {
		flips[i] = flip{rnd.IntN(len(r.bytes)), 1 << rnd.IntN(8)}
	}
	return flips
}

func (r *recording) with(f flip) []byte {
	file := bytes.Clone(r.bytes)
	file[f.at] ^= f.bit
	return file
}

func verify(t testing.TB, file []byte) (Verified, []Problem) {
	t.Helper()
	var problems []Problem
	v, err := Verify(bytes.NewReader(file), int64(len(file)), VerifyOptions{
		Problem: func(p Problem) { problems = append(problems, p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if int(v.Problems) != len(problems) {
		t.Fatalf("%d problems counted, %d reported", v.Problems, len(problems))
	}
	return v, problems
}

// chunksOf is that many chunks of 0 to 9 packets.
func chunksOf(n int) []int {
	perChunk := make([]int, n)
	for i := range perChunk {
		perChunk[i] = (i*7 + 3) % 10
	}
	return perChunk
}

func TestVerifyWhole(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		for _, n := range []int{0, 1, 200, MaxIndexEntries - 1, MaxIndexEntries, MaxIndexEntries + 1, 2*MaxIndexEntries + 3} {
			rec := record(t, form, tunrecSection, chunksOf(n)...)
			done := int64(0)
			v, err := Verify(bytes.NewReader(rec.bytes), int64(len(rec.bytes)), VerifyOptions{
				Problem:  func(p Problem) { t.Errorf("%v, %d chunks: %v", form, n, p) },
				Progress: func(n int64) { done = n },
			})
			if err != nil {
				t.Fatal(err)
			}
			if v.Chunks != uint64(n) || v.Packets != uint64(len(rec.packets)) || v.Backward != 0 || v.Section != tunrecSection {
				t.Errorf("%v, %d chunks: %+v", form, n, v)
			}
			if done != int64(len(rec.bytes)) {
				t.Errorf("progress ends at byte %d of %d", done, len(rec.bytes))
			}
		}
	}
}

// TestVerifyFlips flips a bit of random bytes: whatever changes the content is
// found, and so is everything else but a few bits that zstd does not read.
func TestVerifyFlips(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, chunksOf(200)...)
		content := decoded(t, form, rec.bytes)
		start := rec.statisticsStart()
		onAll(t, form, rec.flips(rnd, full(t, "TUNREC_FLIPS", 500)), func(t *testing.T, f flip) {
			received := start + 2*12 // isb_ifrecv
			if form == Plain && (f.at < rec.header || start <= f.at && f.at < start+8 || received <= f.at && f.at < received+8) {
				return // nothing guards these
			}
			file := rec.with(f)
			v, err := Verify(bytes.NewReader(file), int64(len(file)), VerifyOptions{})
			if err == nil && v.Problems == 0 && !bytes.Equal(decoded(t, form, file), content) {
				t.Errorf("a flip of byte %d is not found", f.at)
			}
			if v.CutShort {
				t.Errorf("a flip of byte %d is taken for the end", f.at)
			}
		})
	}
}

// TestVerifyNoneLost: where no chunk is damaged, but the index, for example, that
// is told.
func TestVerifyNoneLost(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, chunksOf(MaxIndexEntries+5)...)
		firstIndex := int(rec.entries[MaxIndexEntries-1].FileOffset) + int(rec.entries[MaxIndexEntries-1].StoredLen)
		for name, test := range map[string]struct {
			at   int
			want bool
		}{
			"mark":                {int(rec.entries[3].FileOffset) + 40, false},
			"chunk":               {int(rec.entries[3].FileOffset) + MarkLen + 10, false},
			"first index":         {firstIndex + 500, true},
			"last chunk":          {int(rec.entries[MaxIndexEntries+4].FileOffset) + MarkLen + 10, false},
			"start of last index": {len(rec.bytes) - indexOverhead - 5*EntryLen + 2, true},
			"last index":          {len(rec.bytes) - 100, true},
			"end":                 {len(rec.bytes) - 1, true},
		} {
			file := bytes.Clone(rec.bytes)
			file[test.at] ^= 0x10
			v, problems := verify(t, file)
			if v.NoneLost != test.want {
				t.Errorf("%v, %s: %v, %v", form, name, v.NoneLost, problems)
			}
			if v.NoneLost && v.Packets != uint64(len(rec.packets)) {
				t.Errorf("%v, %s: %d packets of %d", form, name, v.Packets, len(rec.packets))
			}
		}
	}
}

// decoded is the section of a file, nil where it cannot be decompressed.
func decoded(t *testing.T, form Form, file []byte) []byte {
	if form != Zstd {
		return file
	}
	d, err := decoderOf(file)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	content, err := io.ReadAll(d)
	if err != nil {
		return nil
	}
	return content
}

// statisticsStart is where isb_starttime stands in a plain file.
func (r *recording) statisticsStart() int {
	return len(r.bytes) - indexOverhead - len(r.entries)*EntryLen - 112 + 24
}

// TestVerifyNames: the place, the chunk and the packets are named, and what
// else is wrong, too.
func TestVerifyNames(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 4, 5, 6)
		file := bytes.Clone(rec.bytes)
		for _, i := range []int{1, 3} {
			e := rec.entries[i]
			file[e.FileOffset+uint64(e.StoredLen)-8] ^= 0x10
		}
		file[rec.entries[2].FileOffset+40] ^= 1 // its mark
		v, problems := verify(t, file)
		want := []Problem{
			{Offset: int64(rec.entries[1].FileOffset), Chunk: 2, Packet: 4, Packets: 4},
			{Offset: int64(rec.entries[2].FileOffset), Chunk: 3, Packet: 8, Packets: 5},
			{Offset: int64(rec.entries[3].FileOffset), Chunk: 4, Packet: 13, Packets: 6},
		}
		for i := range problems {
			problems[i].Reason = ""
		}
		if !slices.Equal(problems, want) || v.Chunks != 2 || v.Packets != 8 {
			t.Errorf("%v: %+v\nwant %+v\n%+v", form, problems, want, v)
		}
	}
	p := Problem{Offset: 5, Chunk: 2, Packet: 4, Packets: 4, Reason: "bad"}
	if got := p.String(); got != "byte 5, chunk 2, packets 4 to 7: bad" {
		t.Error(got)
	}
}

// TestVerifyCut: a file that is cut anywhere behind its header is cut short,
// and nothing else.
func TestVerifyCut(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 0, 1, 2)
		for size := rec.header; size < len(rec.bytes); size++ {
			if v, problems := verify(t, rec.bytes[:size]); !v.CutShort {
				t.Fatalf("%v cut at byte %d of %d: %v", form, size, len(rec.bytes), problems)
			}
		}
		for size := range rec.header {
			if _, err := Verify(bytes.NewReader(rec.bytes[:size]), int64(size), VerifyOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%v cut at byte %d, in the header: %v", form, size, err)
			}
		}
		_, problems := verify(t, append(bytes.Clone(rec.bytes), 0))
		if len(problems) == 0 {
			t.Errorf("%v: a byte behind the end is not found", form)
		}
	}
}

// TestVerifyBackward: a step of the clock is told, and is no damage.
func TestVerifyBackward(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 3)
		var f memFile
		w, err := NewWriter(&f, Config{Form: form, Section: tunrecSection})
		if err != nil {
			t.Fatal(err)
		}
		r := open(t, rec.bytes)
		for _, i := range []int{1, 0, 0} {
			c, err := r.LoadChunk(rec.entries[i], new(Buffer))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.WriteChunk(c); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(End{}); err != nil {
			t.Fatal(err)
		}
		v, problems := verify(t, f.Bytes())
		if v.Backward != 2 || v.FirstBackward != 4 || problems != nil {
			t.Errorf("%v: %+v, %v", form, v, problems)
		}
	}
}

// TestVerifyLies: what is consistent in itself, hashes included, and wrong.
func TestVerifyLies(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 4)
		at := markEntryAt
		if form == Zstd {
			at = zstdMarkEntryAt
		}
		for name, lie := range map[string]func(file []byte, mark int){
			"packets":  func(file []byte, mark int) { file[mark+40]++ },
			"earliest": func(file []byte, mark int) { file[mark+24]++ },
			"content":  func(file []byte, mark int) { file[mark+8]++ },
			"drops":    func(file []byte, mark int) { file[mark+72]++ },
		} {
			file := bytes.Clone(rec.bytes)
			lie(file, int(rec.entries[1].FileOffset)+at)
			sealHashes(file)
			if _, problems := verify(t, file); len(problems) == 0 {
				t.Errorf("%v: a lie about %s is not found", form, name)
			}
		}
	}
}

func TestVerifyForeign(t *testing.T) {
	text := strings.Repeat("hello, world\n", 1000)
	if _, err := Verify(strings.NewReader(text), int64(len(text)), VerifyOptions{}); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
}

func decoderOf(file []byte) (*zstd.Decoder, error) {
	return zstd.NewReader(bytes.NewReader(file), zstd.WithDecoderConcurrency(1))
}
