// Command record-n records a number of packets with tunrec's packages:
//
//	go build ./examples/go/record-n
//	sudo ./record-n -n 10 packets.pcapng.zst
//
// It makes a device, prints an address whose packets go into it, and ends when
// it has recorded so many, or at Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/rotate"
	"github.com/tunrec/tunrec/tun"
)

func main() {
	packets := flag.Uint64("n", 10, "stop after `NUMBER` packets")
	addr := flag.String("addr", "10.1.0.10,10.1.0.20", "`LOCAL,PEER` addresses of the device")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: record-n [-n NUMBER] [-addr LOCAL,PEER] FILE.pcapng.zst")
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := record(ctx, flag.Arg(0), *addr, *packets); err != nil {
		fmt.Fprintln(os.Stderr, "record-n:", err)
		os.Exit(1)
	}
}

func record(ctx context.Context, name, pair string, packets uint64) error {
	addr, err := netconf.ParseAddr(pair)
	if err != nil {
		return err
	}
	device, err := tun.Open(tun.Config{})
	if err != nil {
		return err
	}
	defer device.Close()
	if device.Buffered() { // one more for its reader, see tun.Config.Ingest
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}

	rec, file, err := newRecorder(ctx, device, name, packets)
	if err != nil {
		return err
	}
	// Packets come from here on. Those that come before Run wait in the device.
	if err := netconf.Apply(device.Name(), netconf.Config{Addrs: []netconf.Addr{addr}}); err != nil {
		return errors.Join(err, file.Discard())
	}
	fmt.Println("send packets to", addr.Target())
	if err := rec.Run(ctx); err != nil {
		return err
	}
	stats := rec.Stats()
	fmt.Printf("%s: %d packets recorded, %d lost\n", name, stats.Recorded, stats.Lost())
	return nil
}

// newRecorder makes the file, and a recorder from the device to it.
func newRecorder(ctx context.Context, device *tun.Device, name string, packets uint64) (*recorder.Recorder, *rotate.File, error) {
	file, err := rotate.New(name, rotate.CreateOptions{})
	if err != nil {
		return nil, nil, err
	}
	sink, err := recorder.NewFileSink(recorder.FilesConfig{
		File: file,
		Capture: capfile.Config{
			Form:    capfile.Zstd,
			Section: pcapng.Section{Application: "record-n", InterfaceName: device.Name()},
		},
		GiveUp: ctx,
		Event:  func(any) {},
	})
	if err != nil {
		return nil, nil, errors.Join(err, file.Discard())
	}
	rec, err := recorder.New(recorder.Config{
		Source: device, Sink: sink,
		Form: capfile.Zstd, Method: capfile.Fastest,
		Count:    packets,
		Buffered: device.Buffered(), DrainMax: device.HoldsPackets(), Settle: device.Settle, Shut: device.Shut,
	})
	if err != nil {
		return nil, nil, errors.Join(err, file.Discard())
	}
	return rec, file, nil
}
