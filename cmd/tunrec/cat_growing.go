package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/extract"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/replay"
)

// growingFile is a file that is being written. At its end it is to package
// replay as a live stream that has nothing at the moment.
type growingFile struct{ *os.File }

func (g growingFile) Read(b []byte) (int, error) {
	n, err := g.File.Read(b)
	if err == io.EOF {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// others writes the packets of a file without marks, as another program writes
// it, until a signal: nothing in it tells its end.
func (f *follower) others(name string) error {
	file, err := extract.Inspect(name)
	for errors.Is(err, io.ErrUnexpectedEOF) && f.ctx.Err() == nil { // its header, or first packet, is on the way
		f.wait(growthInterval)
		file, err = extract.Inspect(name)
	}
	if f.ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	r, err := replay.NewReader(growingFile{in}, name)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, compression := r.Format(); compression != "" {
		return hinted(fmt.Errorf("%s is compressed with %s by another program: how it grows cannot be followed", name, compression),
			"without --follow it is read as far as it goes")
	}
	if file.Info.Section.InterfaceName == "" {
		file.Info.Section.InterfaceName = fileStem(name)
	}
	if err := f.start(file.Info.Section); err != nil {
		return err
	}
	buf := make([]byte, growthBytes+recorder.MaxSnaplen+pcapng.PacketOverhead)
	for f.ctx.Err() == nil {
		c, err := nextPackets(r, buf)
		if err := f.write(c, name); err != nil {
			return err
		}
		if err != nil {
			f.bad.add(err)
			return nil
		}
		if c.Packets == 0 {
			f.wait(growthInterval)
		}
	}
	return nil
}

const growthBytes = 1 << 20 // that are read at a time

// nextPackets reads the packets that are there into buf, as far as they fit.
func nextPackets(r *replay.Reader, buf []byte) (*capfile.Chunk, error) {
	c := &capfile.Chunk{Content: buf[:0]}
	for len(c.Content) < growthBytes {
		block := buf[len(c.Content):]
		n, origLen, unixNano, err := r.Next(block[pcapng.PacketHeaderLen:][:recorder.MaxSnaplen], nil)
		if n == 0 || err != nil {
			return c, err
		}
		c.Content = buf[:len(c.Content)+pcapng.PutPacket(block, n, origLen, unixNano)]
		c.Add(unixNano, origLen)
	}
	return c, nil
}
