package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/replay"
)

// foreign repairs a pcap or pcapng file that another program has made,
// compressed or not, into a plain pcapng file or, where its name asks for it, a
// zstd frame.
func (r *repairing) foreign(f interruptible, size int64, name string, out *newFile, o capfile.RepairOptions) (capfile.Repaired, error) {
	if plain := strings.TrimSuffix(name, ".zst"); !strings.HasSuffix(plain, ".pcapng") {
		return capfile.Repaired{}, usageError(fmt.Errorf("-o %s: has to be named .pcapng or .pcapng.zst", name), "")
	}
	file := io.NewSectionReader(f, 0, size)
	content, err := replay.Decompress(file, r.name)
	if err != nil {
		return capfile.Repaired{}, nothingHad(err)
	}
	defer content.Close()
	report := o.Progress
	o.Progress = func(int64) { // of the content
		at, _ := file.Seek(0, io.SeekCurrent) // fails for a negative place only
		report(at)
	}
	if c := content.Compression(); c != "" {
		r.of = " of the content (decompressed from " + c + ")"
	}
	stream := &acrossDamage{Content: content, ctx: f.ctx, lose: o.Loss}
	in := bufio.NewReader(stream)
	head, err := in.Peek(4)
	if err != nil && err != io.EOF {
		return capfile.Repaired{}, err
	}
	if stream.damage != nil && len(head) < 4 {
		return capfile.Repaired{}, nothingHad(stream.damage)
	}
	repair := capfile.RepairPcap
	if string(head) == "\n\r\r\n" {
		repair = capfile.RepairPcapng
	}
	var encoder *zstd.Encoder
	done, err := repair(in, func() (io.Writer, error) {
		if err := out.create(name); err != nil || !strings.HasSuffix(name, ".zst") {
			return out, err
		}
		encoder, err = zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		return encoder, err
	}, o)
	if errors.Is(err, capfile.ErrForeign) {
		err = nothingHad(fmt.Errorf("%s is neither pcap nor pcapng, or its header is damaged: it begins with % x", r.name, head))
	}
	if encoder != nil {
		err = errors.Join(err, encoder.Close())
	}
	if stream.damage != nil && err == nil {
		stream.tell()
		done.Whole, done.Unknown = false, true
	}
	return done, err
}

// nothingHad is the failure of a file of which there is nothing to repair.
func nothingHad(err error) error {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return hinted(err, "zstd -dc --long=31 FILE >PLAIN, and repair that")
	}
	return hinted(err, "nothing of it can be had; if its first bytes alone are damaged, put those of a like file in their place")
}

// acrossDamage is a stream that goes on at the next zstd frame where it cannot
// be decompressed, or else ends there.
type acrossDamage struct {
	*replay.Content
	ctx    context.Context // a small file may have much content
	lose   func(capfile.Loss)
	damage *replay.DamageError // the last one, which is not told yet
	ended  bool                // there
}

func (a *acrossDamage) Read(b []byte) (int, error) {
	for !a.ended {
		if err := a.ctx.Err(); err != nil {
			return 0, err
		}
		n, err := a.Content.Read(b)
		var d *replay.DamageError
		if !errors.As(err, &d) {
			return n, err
		}
		a.tell()
		a.damage, a.ended = d, !a.Resume()
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

func (a *acrossDamage) tell() {
	if a.damage == nil || a.lose == nil {
		return
	}
	what := "it cannot be decompressed from " + a.damage.Compression
	if a.ended {
		what += " any further"
	} else {
		what += " up to the next frame"
	}
	a.lose(capfile.Loss{Offset: a.damage.Offset, End: a.damage.Offset, Reason: what + ": " + a.damage.Reason})
}
