package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/klauspost/compress/zstd"

	"github.com/tunrec/tunrec/tun"
)

const (
	plainFile = "capture.pcapng.zst"

	// drainTime is how long after SIGINT nothing may have come for the plain loop
	// to end.
	drainTime = 100 * time.Millisecond
)

// plain is the loop that anybody would write, in a directory: read a packet,
// hand it to the pcapng writer, which writes into a zstd stream of the level
// that tunrec has. It ends at SIGINT.
func plain(dir string) (err error) {
	iface, device, err := openDevice(device)
	if err != nil {
		return err
	}
	f, err := os.Create(dir + "/" + plainFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, z.Close()) }()

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT)
	go func() {
		<-signals
		device.SetReadDeadline(time.Now().Add(drainTime))
	}()
	fmt.Print(bareReady)
	read, err := copyPackets(z, device)
	if err != nil {
		return err
	}
	dropped, err := txDropped(iface.Name())
	fmt.Printf(bareClosing, read, dropped)
	return err
}

// copyPackets writes packets as pcapng until a read deadline has passed, and
// after it nothing has come.
func copyPackets(w io.Writer, device *os.File) (read uint64, err error) {
	ng, err := pcapgo.NewNgWriter(w, layers.LinkTypeRaw)
	if err != nil {
		return 0, err
	}
	packet := make([]byte, tun.MaxPacket)
	var before uint64 // read until the last deadline
	for {
		n, err := device.Read(packet)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if read == before {
				return read, ng.Flush()
			}
			before = read
			device.SetReadDeadline(time.Now().Add(drainTime))
			continue
		}
		if err != nil {
			return read, err
		}
		err = ng.WritePacket(gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: n, Length: n}, packet[:n])
		if err != nil {
			return read, err
		}
		read++
	}
}
