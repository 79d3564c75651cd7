package capfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tunrec/tunrec/pcapng"
)

// byteOrder is what both binary.LittleEndian and binary.BigEndian are.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

var byteOrders = map[string]byteOrder{"little": binary.LittleEndian, "big": binary.BigEndian}

func repairPcapng(t testing.TB, file []byte) (Repaired, []Loss, []byte) {
	t.Helper()
	return repairOthers(t, RepairPcapng, file)
}

// repairOthers repairs a file of another program.
func repairOthers(t testing.TB, repair func(io.Reader, func() (io.Writer, error), RepairOptions) (Repaired, error),
	file []byte) (Repaired, []Loss, []byte) {
	t.Helper()
	var out bytes.Buffer
	var lost []Loss
	rep, err := repair(bytes.NewReader(file), func() (io.Writer, error) { return &out, nil },
		RepairOptions{Loss: func(l Loss) { lost = append(lost, l) }})
	if err != nil {
		t.Fatal(err)
	}
	return rep, lost, out.Bytes()
}

// blockEnds are where the blocks of a pcapng file end.
func blockEnds(t testing.TB, file []byte) (ends []int) {
	t.Helper()
	s := pcapng.NewScanner(bytes.NewReader(file))
	for s.Next() == nil {
		ends = append(ends, int(s.Offset())+len(s.Body())+12)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return ends
}

// TestRepairPcapng cuts a file of another program everywhere, takes bytes out
// of it and changes lengths: only the blocks that are hit are lost.
func TestRepairPcapng(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("..", "testdata", "pcaps", "tls.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	ends := blockEnds(t, file)
	if rep, lost, got := repairPcapng(t, file); !rep.Whole || rep.Packets != 55 || lost != nil || !bytes.Equal(got, file) {
		t.Fatalf("a whole file: %+v, %v", rep, lost)
	}
	for at := ends[1]; at < len(file); at += 7 {
		n, _ := slices.BinarySearch(ends, at+1)
		if rep, lost, got := repairPcapng(t, file[:at]); !bytes.Equal(got, file[:ends[n-1]]) || rep.Whole != (at == ends[n-1]) {
			t.Fatalf("cut at byte %d: %d bytes, %+v, %v", at, len(got), rep, lost)
		}
	}
	rnd := rand.New(rand.NewPCG(13, 14))
	for range 300 {
		i := 2 + rnd.IntN(len(ends)-3) // a packet, not the last one
		begin, end := ends[i-1], ends[i]
		at := begin + rnd.IntN(end-begin)
		removed := slices.Concat(file[:at], file[min(at+1+rnd.IntN(7), end):])
		if _, lost, got := repairPcapng(t, removed); !bytes.HasPrefix(got, file[:begin]) || !bytes.HasSuffix(got, file[end:]) || len(lost) == 0 {
			t.Fatalf("bytes of block %d removed at %d: %d bytes, %v", i, at, len(got), lost)
		}
		changed := bytes.Clone(file)
		binary.LittleEndian.PutUint32(changed[begin+4:], rnd.Uint32())
		rep, lost, got := repairPcapng(t, changed)
		if !bytes.Equal(got, slices.Concat(file[:begin], file[end:])) || len(lost) != 1 || lost[0].Offset != int64(begin) || lost[0].End != int64(end) {
			t.Fatalf("length of block %d changed: %d bytes, %+v, %v", i, len(got), rep, lost)
		}
	}
}

// TestRepairPcapngSectionLength: what a section header says of its section's
// length is not true any more where a block is lost.
func TestRepairPcapngSectionLength(t *testing.T) {
	for name, order := range byteOrders {
		header := order.AppendUint32(nil, pcapng.BlockSectionHeader)
		header = order.AppendUint32(header, 28)
		header = order.AppendUint32(header, pcapng.ByteOrderMagic)
		header = order.AppendUint32(header, 0)
		order.PutUint16(header[12:], 1)
		length := len(header)
		header = order.AppendUint64(header, 24)
		header = order.AppendUint32(header, 28)
		resolution := order.AppendUint32(nil, pcapng.BlockNameResolution)
		resolution = order.AppendUint32(resolution, 12)
		resolution = order.AppendUint32(resolution, 12)

		want := slices.Concat(header, resolution)
		order.PutUint64(want[length:], math.MaxUint64)
		_, _, got := repairPcapng(t, slices.Concat(header, resolution, resolution[:11]))
		if !bytes.Equal(got, want) {
			t.Errorf("%s-endian: % x, want % x", name, got, want)
		}
	}
}

func TestRepairPcapngForeign(t *testing.T) {
	for _, file := range []string{"", "hello", "\x0a\x0d\x0d\x0a", "\x06\x00\x00\x00\x0c\x00\x00\x00\x0c\x00\x00\x00"} {
		_, err := RepairPcapng(bytes.NewReader([]byte(file)), func() (io.Writer, error) {
			t.Error("a file was made")
			return io.Discard, nil
		}, RepairOptions{})
		if !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v", file, err)
		}
	}
}
