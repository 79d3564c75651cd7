package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

// sizes are the lengths of one recording, in bytes.
type sizes struct {
	file  int64 // as tunrec has written it
	whole int64 // its content, compressed by the same encoder in one piece
	zstd1 int64 // the same by zstd -1
}

// sizes measures once what compressing chunk by chunk costs on disk.
func (c contestant) sizes(ctx context.Context, s stream, d time.Duration, dir, self string) (m sizes, err error) {
	if _, err := c.record(ctx, s, d, dir, self); err != nil {
		return m, err
	}
	name, err := onlyFile(dir)
	if err != nil {
		return m, err
	}
	if m.file, err = sizeOf(name); err != nil {
		return m, err
	}
	content, err := decompressed(name)
	if err != nil {
		return m, err
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return m, err
	}
	m.whole = int64(len(z.EncodeAll(content, nil)))

	plain := filepath.Join(dir, "content.pcapng")
	if err := os.WriteFile(plain, content, 0o600); err != nil {
		return m, err
	}
	cmd := exec.CommandContext(ctx, "zstd", "-1", "-q", plain)
	if out, err := cmd.CombinedOutput(); err != nil {
		return m, fmt.Errorf("zstd -1: %w: %s", err, out)
	}
	m.zstd1, err = sizeOf(plain + ".zst")
	return m, err
}

func onlyFile(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("%d files of one recording", len(entries))
	}
	return filepath.Join(dir, entries[0].Name()), nil
}

func decompressed(name string) ([]byte, error) {
	compressed, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(compressed, nil)
}

var sizesLabels = []string{"bytes", "payload"}

var sizesColumns = []column[sizes]{
	spread("tunrec's file, MB", digits(2), func(s sizes) float64 { return float64(s.file) / 1e6 }),
	spread("in one piece, MB", digits(2), func(s sizes) float64 { return float64(s.whole) / 1e6 }),
	spread("tunrec's / that", digits(4), sizes.ratio),
	spread("zstd -1, MB", digits(2), func(s sizes) float64 { return float64(s.zstd1) / 1e6 }),
}

func (s sizes) ratio() float64 { return float64(s.file) / float64(s.whole) }
