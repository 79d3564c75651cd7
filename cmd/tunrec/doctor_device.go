package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/netconf"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/recorder"
	"github.com/tunrec/tunrec/tun"
)

// device makes one, which shows nowhere but for a moment in the list of
// devices.
func (p *patient) device() finding {
	d, err := tun.Open(tun.Config{})
	switch {
	case errors.Is(err, fs.ErrPermission):
		return wrong(privilegeHint(), "%v", err)
	case err != nil:
		return wrong("", "%v", err)
	}
	p.can, p.ring = true, d.Buffered()
	if err := d.Close(); err != nil {
		return wrong("", "%v", err)
	}
	return ok("%s was made, and is gone again; ingest %s: %s", d.Name(), d.IngestName(), d.IngestReason())
}

func (p *patient) addresses() finding {
	if p.exists() {
		return ok("%s is there, and is used as it is", p.recording.device.Name)
	}
	if len(p.recording.net.Addrs)+len(p.recording.net.Routes) > 0 {
		err := p.recording.inNamespace(func() error { return netconf.Check(p.recording.net, p.recording.lifelines()) })
		if err != nil {
			return wrong("", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	if addrs := p.recording.net.Addrs; len(addrs) > 0 {
		var all []string
		for _, a := range addrs {
			all = append(all, a.String())
		}
		return ok("the device would get %s", strings.Join(all, " and "))
	}
	pair, skipped, err := netconf.DefaultPair()
	switch {
	case err != nil:
		return wrong("", "%v", err)
	case skipped != "":
		return note("", "the device would get %s, because %s", pair, skipped)
	}
	return ok("the device would get %s", pair)
}

// doctorPatience is how long a packet may take through the system.
const doctorPatience = 10 * time.Second

// packet sends one into a device and has it recorded, apart from the machine's
// network where the system can do that.
func (p *patient) packet() finding {
	if !p.can {
		return wrong("", "not tried: it needs the device")
	}
	var took time.Duration
	err := apart(func() (err error) {
		took, err = recordOne()
		return err
	})
	if err != nil {
		return wrong("", "a packet sent into a device was not recorded: %v", err)
	}
	return ok("one sent into a device came out recorded after %s", took.Round(10*time.Microsecond))
}

// recordOne returns the time that the packet took from its sender to the end of
// a recording in memory.
func recordOne() (took time.Duration, err error) {
	d, err := tun.Open(tun.Config{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	pair, _, err := netconf.DefaultPair()
	if err != nil {
		return 0, err
	}
	if err := netconf.Apply(d.Name(), netconf.Config{Addrs: []netconf.Addr{pair}}); err != nil {
		return 0, err
	}
	const text = "tunrec doctor: is this recorded?"
	rec, capture, err := recorderInMemory(d, text)
	if err != nil {
		return 0, err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(pair.Peer, 9)))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	start := time.Now()
	if _, err := conn.Write([]byte(text)); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), doctorPatience)
	defer cancel()
	if err := rec.Run(ctx); err != nil {
		return 0, err
	}
	if s := rec.Stats(); s.Recorded != 1 || !strings.Contains(capture.String(), text) {
		return 0, fmt.Errorf("%s received, %d recorded, %d lost", packets(s.Received), s.Recorded, s.Lost())
	}
	return time.Since(start), nil
}

// recorderInMemory records one packet with the text in it.
func recorderInMemory(d *tun.Device, text string) (*recorder.Recorder, *bytes.Buffer, error) {
	capture := new(bytes.Buffer)
	sink, err := recorder.NewStreamSink(capture, capfile.Config{Section: pcapng.Section{InterfaceName: d.Name()}}, nil)
	if err != nil {
		return nil, nil, err
	}
	rec, err := recorder.New(recorder.Config{
		Source: d, Sink: sink, Form: capfile.Stream, Count: 1,
		SlabBytes: recorder.MinSlabBytes, Slabs: recorder.MinSlabs, Workers: 1,
		Filter: func(packet []byte, _ int) bool { return bytes.Contains(packet, []byte(text)) },
	})
	return rec, capture, err
}
