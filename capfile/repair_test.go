package capfile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tunrec/tunrec/internal/zstdblock"
	"github.com/tunrec/tunrec/internal/zstdblock/blocktest"
	"github.com/tunrec/tunrec/pcapng"
)

// repair repairs a file, checks that the new one is whole and that its
// statistics add up, and returns its packets.
func repair(t testing.TB, file []byte) (Repaired, []Loss, []Packet, []byte) {
	t.Helper()
	var f memFile
	var lost []Loss
	rep, err := Repair(bytes.NewReader(file), int64(len(file)), func(Form) (File, error) { return &f, nil },
		RepairOptions{Loss: func(l Loss) { lost = append(lost, l) }})
	if err != nil {
		t.Fatal(err)
	}
	return rep, lost, whole(t, rep, f.Bytes()), f.Bytes()
}

// whole checks a repaired file, and returns its packets.
func whole(t testing.TB, rep Repaired, file []byte) []Packet {
	t.Helper()
	if v, problems := verify(t, file); len(problems) > 0 || v.Packets != rep.Packets || v.Chunks < rep.Chunks {
		t.Fatalf("the repaired file: %v, %+v, repair says %+v", problems, v, rep)
	}
	r := open(t, file)
	got, errs := allPackets(r, math.MinInt64, math.MaxInt64)
	if errs != nil || r.Info().Damage != nil {
		t.Fatal(errs, r.Info().Damage)
	}
	s := r.Info().Statistics
	const absurd = 1 << 40 // sums of such counts overflow
	filtered := s.Received - s.FilterAccept - s.OSDropped
	if s.Delivered != uint64(len(got)) || s.Dropped < absurd && filtered < absurd && s.Received < s.Delivered+s.Dropped {
		t.Fatalf("%d packets, the statistics are %+v", len(got), s)
	}
	return got
}

// cuts are the places where a file is cut: around the end of every block, of
// zstd and of pcapng, and random ones.
func (r *recording) cuts(t testing.TB, random int) []int {
	var ends []int
	if r.form == Plain {
		s := pcapng.NewScanner(bytes.NewReader(r.bytes))
		for s.Next() == nil {
			ends = append(ends, int(s.Offset()))
		}
	} else {
		for at := zstdHeaderLen; at < len(r.bytes)-zstdChecksumLen; {
			ends = append(ends, at)
			v := int(r.bytes[at]) | int(r.bytes[at+1])<<8 | int(r.bytes[at+2])<<16
			size := v >> 3
			if v&6 == 2 {
				size = 1
			}
			at += zstdblock.HeaderLen + size
		}
	}
	var cuts []int
	for _, at := range ends {
		for d := -1; d <= 1; d++ {
			cuts = append(cuts, at+d)
		}
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	for range random {
		cuts = append(cuts, rnd.IntN(len(r.bytes)))
	}
	return slices.DeleteFunc(cuts, func(at int) bool { return at < r.header || at >= len(r.bytes) })
}

// TestRepairCutAnywhere: exactly the packets up to the last whole block. How long
// it takes goes with the square of the chunks.
func TestRepairCutAnywhere(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, chunksOf(full(t, "TUNREC_CHUNKS", 50))...)
		onAll(t, form, rec.cuts(t, full(t, "TUNREC_CUTS", 300)), func(t *testing.T, at int) {
			want := rec.packets[:had(t, form, rec.bytes[:at])]
			rep, lost, got, _ := repair(t, rec.bytes[:at])
			if !slices.EqualFunc(got, want, samePacket) || rep.Whole {
				t.Fatalf("cut at byte %d: %d packets, want %d; %+v, %v", at, len(got), len(want), rep, lost)
			}
			repairInPlace(t, rec.bytes[:at], want)
		})
	}
}

// had is what a decoder that knows nothing of chunks gets from a file that was
// cut: the packets up to its last whole block.
func had(t testing.TB, form Form, file []byte) int {
	content := file
	if form == Zstd {
		d, err := decoderOf(file)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(d) // as far as it goes
		content = b.Bytes()
	}
	n := 0
	for s := pcapng.NewScanner(bytes.NewReader(content)); s.Next() == nil; {
		if s.Packet() != nil {
			n++
		}
	}
	return n
}

// repairInPlace repairs a cut file in place, and checks that nothing before its end
// has changed.
func repairInPlace(t testing.TB, file []byte, want []Packet) {
	t.Helper()
	f := &inPlaceMemory{bytes: bytes.Clone(file)}
	rep, err := RepairInPlace(f, int64(len(file)), RepairOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := whole(t, rep, f.bytes); !slices.EqualFunc(got, want, samePacket) {
		t.Fatalf("in place: %d packets, want %d", len(got), len(want))
	}
	r := open(t, f.bytes)
	for e := range r.Chunks() {
		if end := int(e.FileOffset) + int(e.StoredLen); end <= f.lowest && !bytes.Equal(f.bytes[:end], file[:end]) {
			t.Fatal("in place: what was whole has changed")
		}
	}
	again := &inPlaceMemory{bytes: bytes.Clone(f.bytes)}
	if rep, err := RepairInPlace(again, int64(len(f.bytes)), RepairOptions{}); err != nil || !rep.Whole || again.writes > 0 {
		t.Fatalf("in place, again: %+v, %v, %d writes", rep, err, again.writes)
	}
}

// inPlaceMemory is an InPlaceFile whose nth write may fail.
type inPlaceMemory struct {
	bytes  []byte
	writes int
	lowest int // the first byte that was written
	failAt int // number of the write that fails half way, from 1
}

func (f *inPlaceMemory) ReadAt(b []byte, at int64) (int, error) {
	return bytes.NewReader(f.bytes).ReadAt(b, at)
}

func (f *inPlaceMemory) WriteAt(b []byte, at int64) (int, error) {
	f.writes++
	f.lowest = int(at)
	fails := f.writes == f.failAt
	if fails {
		b = b[:len(b)/2]
	}
	if missing := int(at) + len(b) - len(f.bytes); missing > 0 {
		f.bytes = append(f.bytes, make([]byte, missing)...)
	}
	copy(f.bytes[at:], b)
	if fails {
		return len(b), errFull
	}
	return len(b), nil
}

func (f *inPlaceMemory) Truncate(n int64) error {
	if n > int64(len(f.bytes)) {
		return fmt.Errorf("truncate to %d of %d bytes", n, len(f.bytes))
	}
	f.bytes = f.bytes[:n]
	return nil
}

func (f *inPlaceMemory) Sync() error { return nil }

// TestRepairInPlaceFails: when the disk is full the old end is put back.
func TestRepairInPlaceFails(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 4, 5)
		file := rec.bytes[:rec.entries[2].FileOffset+uint64(rec.entries[2].StoredLen)-3]
		f := &inPlaceMemory{bytes: bytes.Clone(file), failAt: 1}
		if _, err := RepairInPlace(f, int64(len(file)), RepairOptions{}); !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		if !bytes.Equal(f.bytes, file) {
			t.Errorf("%v: the file has changed", form)
		}
	}
}

// TestRepairInPlaceLong cuts around the index blocks of a long file.
func TestRepairInPlaceLong(t *testing.T) {
	perChunk := slices.Repeat([]int{1}, 2*MaxIndexEntries+2)
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, perChunk...)
		for _, n := range []int{MaxIndexEntries, 2 * MaxIndexEntries} {
			end := int(rec.entries[n-1].FileOffset) + int(rec.entries[n-1].StoredLen)
			next := int(rec.entries[n].FileOffset)
			for _, at := range []int{end - 1, end, end + 1, end + 3, next - 1, next, next + MarkLen + 5, next + int(rec.entries[n].StoredLen)} {
				file := rec.bytes[:at]
				repairInPlace(t, file, rec.packets[:had(t, form, file)])
			}
		}
	}
}

// TestRepairInPlaceInside refuses to change a file that is damaged inside.
func TestRepairInPlaceInside(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 4, 5)
		for _, cut := range []int{0, 150} {
			for _, at := range []uint64{rec.entries[1].FileOffset + 40, rec.entries[1].FileOffset + MarkLen + 20} {
				file := bytes.Clone(rec.bytes[:len(rec.bytes)-cut])
				file[at] ^= 4
				f := &inPlaceMemory{bytes: bytes.Clone(file)}
				if _, err := RepairInPlace(f, int64(len(file)), RepairOptions{}); !errors.Is(err, ErrDamagedInside) || f.writes > 0 {
					t.Errorf("%v: %v, %d writes", form, err, f.writes)
				}
			}
		}
	}
}

// TestRepairFlips: a flipped bit costs no more than the chunk that it hits.
func TestRepairFlips(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, chunksOf(200)...)
		onAll(t, form, rec.flips(rnd, full(t, "TUNREC_FLIPS", 500)), func(t *testing.T, f flip) {
			rep, lost, got, _ := repair(t, rec.with(f))
			want := rec.without(f.at, f.at+1)
			if !slices.EqualFunc(got, want, samePacket) && !slices.EqualFunc(got, rec.packets, samePacket) {
				t.Fatalf("byte %d: %d packets, want %d or %d: %v", f.at, len(got), len(want), len(rec.packets), lost)
			}
			if missing := len(rec.packets) - len(got); rep.Lost != uint64(missing) || rep.Unknown {
				t.Fatalf("byte %d: %d packets are missing, repair says %+v: %v", f.at, missing, rep, lost)
			}
		})
	}
}

// without is the packets of chunks that have no byte from a place to another.
func (r *recording) without(from, to int) (packets []Packet) {
	n := 0
	for _, e := range r.entries {
		begin, end := int(e.FileOffset), int(e.FileOffset)+int(e.StoredLen)
		if end <= from || begin >= to {
			packets = append(packets, r.packets[n:n+int(e.Packets)]...)
		}
		n += int(e.Packets)
	}
	return packets
}

// TestRepairHoles zeroes pages, and takes bytes out of files, with and without
// an index: only the chunks that are hit are lost.
func TestRepairHoles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, chunksOf(100)...)
		last := rec.entries[len(rec.entries)-1]
		end := int(last.FileOffset) + int(last.StoredLen)
		for range full(t, "TUNREC_FLIPS", 100) {
			length := 1 + rnd.IntN(3000)
			at := rec.header + rnd.IntN(end-rec.header-length)
			want := rec.without(at, at+length)
			for _, index := range []bool{true, false} {
				file := rec.bytes
				if !index {
					file = file[:end]
				}
				zeroed := bytes.Clone(file)
				clear(zeroed[at : at+length])
				if rep, lost, got, _ := repair(t, zeroed); !slices.EqualFunc(got, want, samePacket) &&
					len(got) <= len(want) || index && (rep.Unknown || int(rep.Lost) != len(rec.packets)-len(got)) {
					t.Fatalf("%v, index %v, bytes %d to %d zeroed: %d packets, want %d: %+v %v", form, index, at, at+length, len(got), len(want), rep, lost)
				}
				removed := slices.Concat(file[:at], file[at+length:])
				if rep, lost, got, _ := repair(t, removed); len(got) < len(want) {
					t.Fatalf("%v, index %v, bytes %d to %d removed: %d packets, want %d: %+v %v", form, index, at, at+length, len(got), len(want), rep, lost)
				}
			}
		}
	}
}

// TestRepairSays: what is lost is told, and counted in the new file.
func TestRepairSays(t *testing.T) {
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, 3, 4, 5)
		e := rec.entries[1]
		file := bytes.Clone(rec.bytes)
		file[e.FileOffset+uint64(e.StoredLen)-8] ^= 1
		rep, lost, _, repaired := repair(t, file)
		if len(lost) != 1 || lost[0].Packets != 4 || !lost[0].Known || lost[0].From != e.Earliest || lost[0].To != e.Latest ||
			rep.Lost != 4 || rep.Packets != 8 || rep.Chunks != 2 {
			t.Errorf("%v: %+v, %+v", form, rep, lost)
		}
		before, after := open(t, rec.bytes).Info().Statistics, open(t, repaired).Info().Statistics
		before.Delivered -= 4
		before.Dropped += 4
		if after != before {
			t.Errorf("%v: statistics are\n%+v, want\n%+v", form, after, before)
		}
		if rep, lost, got, _ := repair(t, rec.bytes); !rep.Whole || lost != nil || len(got) != 12 {
			t.Errorf("%v, a whole file: %+v, %v, %d packets", form, rep, lost, len(got))
		}
	}
}

// TestRepairCreates nothing where nothing is to be had.
func TestRepairCreates(t *testing.T) {
	for _, file := range []string{"", "hello", string(markHead[:]), string(record(t, Zstd, tunrecSection, 1).bytes[:100])} {
		_, err := Repair(strings.NewReader(file), int64(len(file)), func(Form) (File, error) {
			t.Error("a file was made")
			return &memFile{}, nil
		}, RepairOptions{})
		if err == nil {
			t.Errorf("%.10q: no error", file)
		}
	}
}

// TestRepairJudged: tshark counts the same packets in a file that is cut and in
// the one that is made of it.
func TestRepairJudged(t *testing.T) {
	count := func(name string, file []byte) int {
		t.Helper()
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, file, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("sh", "-c", `tshark -r "$1" -n -T fields -e frame.number 2>/dev/null | wc -l`, "sh", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Fatal(err)
	}
	for _, form := range []Form{Zstd, Plain} {
		rec := record(t, form, tunrecSection, chunksOf(200)...)
		for _, at := range rec.cuts(t, 0)[600:603] {
			_, _, got, repaired := repair(t, rec.bytes[:at])
			if cut, after := count("cut", rec.bytes[:at]), count("repaired", repaired); cut != len(got) || after != len(got) {
				t.Errorf("%v cut at byte %d: tshark counts %d packets, and %d in the repaired file of %d", form, at, cut, after, len(got))
			}
		}
	}
}

// TestRepairCutBlocks cuts chunks of several zstd blocks, compressed and raw
// ones: packets are had as far as a decoder gets, and of a raw block that is
// cut, too.
func TestRepairCutBlocks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	for name, fill := range map[string]func(b []byte){
		"compressed": func(b []byte) {
			for i := range b {
				b[i] = byte(rnd.IntN(4))
			}
		},
		"raw": func(b []byte) {
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
		},
	} {
		var f memFile
		w, err := NewWriter(&f, Config{Section: tunrecSection})
		if err != nil {
			t.Fatal(err)
		}
		content, n := packets(t, 1_000_000, fill)
		c := newChunk(content, n)
		c.Entry = Entry{}
		for at := 0; at < len(content); {
			p, total, _ := pcapng.ParsePacket(content[at:])
			c.Add(p.UnixNano, p.OrigLen)
			at += total
		}
		if err := NewCompressor(0).Compress(c, Fastest, make([]byte, 0, EncodedCap(len(content)))); err != nil {
			t.Fatal(err)
		}
		if err := w.WriteChunk(c); err != nil {
			t.Fatal(err)
		}
		most := 0
		for range full(t, "TUNREC_FLIPS", 15) {
			file := f.Bytes()[:int(c.FileOffset)+MarkLen+rnd.IntN(int(c.StoredLen)-MarkLen)]
			rep, _, got, _ := repair(t, file)
			atLeast := had(t, Zstd, file)
			if len(got) < atLeast || name == "compressed" && len(got) > atLeast || rep.Lost != uint64(int(n)-len(got)) {
				t.Fatalf("%s cut at byte %d: %d packets of %d, a decoder sees %d: %+v", name, len(file), len(got), n, atLeast, rep)
			}
			for i, p := range got {
				if p.UnixNano != int64(1e18)+int64(i) {
					t.Fatalf("%s cut at byte %d: packet %d is another one", name, len(file), i)
				}
			}
			repairInPlace(t, file, got)
			most = max(most, len(got))
		}
		if most < 5 {
			t.Errorf("%s: no more than %d packets were had", name, most)
		}
	}
}

// TestRepairKeepsToWindow: what is salvaged from a chunk longer than the window
// has no matches beyond it, also where it goes back into the same frame.
func TestRepairKeepsToWindow(t *testing.T) {
	noise := rand.NewChaCha8([32]byte{})
	var content []byte
	count := uint32(0)
	put := func(size int, fill func(packet []byte)) {
		packet := make([]byte, size)
		fill(packet)
		content = append(content, blocktest.Block(packet, 1e18)...)
		count++
	}
	var first []byte
	put(60_000, func(p []byte) { noise.Read(p); first = p })
	for len(content) < WindowBytes(0)-1500 {
		put(1400, func([]byte) {})
	}
	put(63_000, func(p []byte) { noise.Read(p[:3000]); copy(p[3000:], first) })

	var file inMemory
	w, err := NewWriter(&file, Config{Form: Zstd, Section: pcapng.Section{Application: "tunrec"}})
	if err != nil {
		t.Fatal(err)
	}
	c := newChunk(content, count)
	if err := NewCompressor(0).Compress(c, Fastest, make([]byte, 0, EncodedCap(len(content)))); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteChunk(c); err != nil {
		t.Fatal(err)
	}
	f := &inPlaceMemory{bytes: bytes.Clone(file[:len(file)-1])}
	r, err := RepairInPlace(f, int64(len(f.bytes)), RepairOptions{})
	if err != nil || r.Salvaged != uint64(count) {
		t.Fatalf("%d of %d packets salvaged, %v", r.Salvaged, count, err)
	}
	if got, whole := readable(t, Zstd, f.bytes); got != int(count) || !whole {
		t.Errorf("%d of %d packets can be read, whole: %v", got, count, whole)
	}
}
