package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tunrec/tunrec/internal/load"
	"github.com/tunrec/tunrec/replay"
	"github.com/tunrec/tunrec/tun"
)

// packetFunc is told of a packet of the load that stands in a file: its number,
// when it was sent, and when the file says it came.
type packetFunc func(number uint64, sent, recorded time.Time)

// readBack goes through the packets of the load in all files of a directory,
// and returns how many there are.
func readBack(dir string, each packetFunc) (total uint64, err error) {
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || halfMade(name) {
			return err
		}
		n, err := readFile(name, each)
		total += n
		return err
	})
	return total, err
}

// halfMade tells of a compressed file that the file it is made of stands beside:
// dumpcap was stopped before it had finished.
func halfMade(name string) bool {
	from, compressed := strings.CutSuffix(name, ".gz")
	_, err := os.Stat(from)
	return compressed && err == nil
}

func readFile(name string, each packetFunc) (total uint64, err error) {
	r, err := replay.Open(name)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	packet := make([]byte, tun.MaxPacket)
	for {
		n, _, at, err := r.Next(packet, nil)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		if number, sent, ok := load.ParsePayload(packet[min(headerBytes, n):n]); ok {
			each(number, time.Unix(0, sent), time.Unix(0, at))
			total++
		}
	}
}

// sizeOf is the length of a file, or of all files in a directory.
func sizeOf(root string) (total int64, err error) {
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := os.Stat(name)
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
