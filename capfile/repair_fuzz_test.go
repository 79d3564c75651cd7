package capfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/tunrec/tunrec/pcapng"
)

// seedFiles adds files with and without an index, damaged and cut, and what
// others have made.
func seedFiles(f *testing.F) {
	for _, form := range []Form{Zstd, Plain} {
		for _, perChunk := range [][]int{{}, {1}, {3, 0, 20, 5}} {
			rec := record(f, form, tunrecSection, perChunk...)
			n := len(rec.bytes)
			holed := bytes.Clone(rec.bytes)
			clear(holed[n/2 : n/2+20])
			for _, file := range [][]byte{rec.bytes, rec.bytes[:n*3/4], holed, append(bytes.Clone(rec.bytes[:n/2]), rec.bytes[n/2+7:]...)} {
				f.Add(file, true)
				f.Add(file, false)
			}
		}
	}
	for _, name := range []string{"tls.pcapng", "dns.pcap"} {
		file, err := os.ReadFile(filepath.Join("..", "testdata", "pcaps", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file, false)
	}
}

func FuzzVerify(f *testing.F) {
	seedFiles(f)
	f.Fuzz(func(t *testing.T, file []byte, seal bool) {
		if seal {
			sealHashes(file)
		}
		problems := uint64(0)
		v, err := Verify(bytes.NewReader(file), int64(len(file)), VerifyOptions{Problem: func(p Problem) {
			problems++
			if p.Offset < 0 || p.Offset > int64(len(file)) || p.Reason == "" {
				t.Fatalf("problem %+v in a file of %d bytes", p, len(file))
			}
		}})
		if err != nil {
			checkKind(t, err)
			return
		}
		if v.Problems != problems || v.Chunks > uint64(len(file))/MarkLen {
			t.Fatalf("%d problems of %d, %d chunks in %d bytes", problems, v.Problems, v.Chunks, len(file))
		}
	})
}

// FuzzRepair: whatever is repaired is whole, and repairing it again changes
// nothing.
func FuzzRepair(f *testing.F) {
	seedFiles(f)
	f.Fuzz(func(t *testing.T, file []byte, seal bool) {
		if seal {
			sealHashes(file)
		}
		var out memFile
		rep, err := Repair(bytes.NewReader(file), int64(len(file)), func(Form) (File, error) { return &out, nil }, RepairOptions{})
		if err != nil {
			checkKind(t, err)
			if out.Len() > 0 {
				t.Fatalf("%v, and %d bytes written", err, out.Len())
			}
			return
		}
		got := whole(t, rep, out.Bytes())
		again, lost, same, _ := repair(t, out.Bytes())
		if !again.Whole || lost != nil || len(same) != len(got) {
			t.Fatalf("the repaired file is repaired again: %+v, %v", again, lost)
		}
		changed := &inPlaceMemory{bytes: bytes.Clone(file)}
		rep, err = RepairInPlace(changed, int64(len(file)), RepairOptions{})
		switch {
		case err == nil:
			whole(t, rep, changed.bytes)
		case changed.writes > 0:
			t.Fatalf("%v, and the file was changed", err)
		case !errors.Is(err, ErrDamagedInside):
			checkKind(t, err)
		}
	})
}

// FuzzRepairPcapng: a scanner finds nothing wrong with what is written, and
// as many packets as were counted.
func FuzzRepairPcapng(f *testing.F) {
	seedFiles(f)
	f.Fuzz(func(t *testing.T, file []byte, _ bool) {
		var out bytes.Buffer
		rep, err := RepairPcapng(bytes.NewReader(file), func() (io.Writer, error) { return &out, nil }, RepairOptions{})
		if err != nil {
			checkKind(t, err)
			return
		}
		if rep.Whole != (out.Len() == len(file)) {
			t.Fatalf("whole is %v, %d bytes of %d", rep.Whole, out.Len(), len(file))
		}
		packets := uint64(0)
		s := pcapng.NewScanner(&out)
		for s.Next() == nil {
			if s.Packet() != nil {
				packets++
			}
		}
		if s.Err() != nil || packets != rep.Packets {
			t.Fatalf("%d packets of %d, %v", packets, rep.Packets, s.Err())
		}
	})
}

// TestVerifyBoundedMemory verifies a file whose chunks all claim to be as long
// as they may be, and overlap.
func TestVerifyBoundedMemory(t *testing.T) {
	const marks = 100_000
	rec := record(t, Zstd, tunrecSection)
	file := bytes.Clone(rec.bytes[:rec.header])
	var mark [MarkLen]byte
	for range marks {
		e := Entry{FileOffset: uint64(len(file)), StoredLen: maxStoredLen(MaxChunkLen), ContentLen: MaxChunkLen, Packets: 1}
		putMark(mark[:], Zstd, &e)
		file = append(file, mark[:]...)
	}
	file = append(file, make([]byte, 2*MaxChunkLen)...)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := uint64(0)
	_, err := Verify(bytes.NewReader(file), int64(len(file)), VerifyOptions{Progress: func(int64) {
		runtime.ReadMemStats(&after)
		peak = max(peak, after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc))
	}})
	if err != nil {
		t.Fatal(err)
	}
	if peak > 256<<20 {
		t.Errorf("%d MiB of heap", peak>>20)
	}
}
