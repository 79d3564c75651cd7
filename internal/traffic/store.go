package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// packet is what was recorded of a packet of length bytes.
type packet struct {
	at     time.Time
	length int
	data   []byte
}

// linkType is a number and a name of tcpdump.org/linktypes.html.
type linkType struct {
	number uint32
	name   string
}

func (l linkType) String() string { return fmt.Sprintf("%s (%d)", l.name, l.number) }

const maxSnapLen = 262144 // tcpdump's

// store writes a capture file in the format that its suffix names: .pcap with
// microseconds, .ns.pcap with nanoseconds, .pcapng with nanoseconds.
func store(path string, link linkType, packets []packet) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if strings.HasSuffix(path, ".pcapng") {
		err = writePcapng(file, link, packets)
	} else {
		_, err = file.Write(encodePcap(link, packets, strings.HasSuffix(path, ".ns.pcap")))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return file.Close()
}

// encodePcap does not use pcapgo, whose link types have eight bits.
func encodePcap(link linkType, packets []packet, nanoseconds bool) []byte {
	magic, unit := uint32(0xa1b2c3d4), time.Microsecond
	if nanoseconds {
		magic, unit = 0xa1b23c4d, time.Nanosecond
	}
	u32 := binary.LittleEndian.AppendUint32
	b := u32(nil, magic)
	b = append(b, 2, 0, 4, 0) // version 2.4
	b = u32(u32(b, 0), 0)     // UTC, accuracy unknown
	b = u32(u32(b, maxSnapLen), link.number)
	for _, p := range packets {
		b = u32(u32(b, uint32(p.at.Unix())), uint32(p.at.Nanosecond()/int(unit)))
		b = u32(u32(b, uint32(len(p.data))), uint32(p.length))
		b = append(b, p.data...)
	}
	return b
}

func writePcapng(file *os.File, link linkType, packets []packet) error {
	device := pcapgo.NgInterface{
		Name:                "tun0",
		LinkType:            layers.LinkType(link.number),
		SnapLength:          maxSnapLen,
		TimestampResolution: 9,
	}
	section := pcapgo.NgSectionInfo{Application: "tunrec internal/traffic"}
	w, err := pcapgo.NewNgWriterInterface(file, device, pcapgo.NgWriterOptions{SectionInfo: section})
	if err != nil {
		return err
	}
	for _, p := range packets {
		info := gopacket.CaptureInfo{Timestamp: p.at, Length: p.length, CaptureLength: len(p.data)}
		if err := w.WritePacket(info, p.data); err != nil {
			return err
		}
	}
	return w.Flush()
}
