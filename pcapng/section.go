package pcapng

import (
	"bytes"
	"fmt"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// MaxOptionLen is the longest value of an option in bytes: its length has 16 bits
// (draft-ietf-opsawg-pcapng §3.5).
const MaxOptionLen = 65535

// Section describes a section with one interface of LINKTYPE_RAW and
// nanosecond time stamps. Empty strings are left out.
type Section struct {
	Comment     string // opt_comment of the section
	Hardware    string // shb_hardware
	OS          string // shb_os and if_os
	Application string // shb_userappl

	InterfaceName        string // if_name
	InterfaceDescription string // if_description
	Filter               string // if_filter, in the language of pcap-filter(7)
	Snaplen              uint32 // 0: no limit
}

// Encode returns the Section Header Block and the Interface Description Block.
// It fails where a string is longer than an option can hold (65,535 bytes).
func (s Section) Encode() ([]byte, error) {
	for _, o := range []struct{ name, value string }{
		{"comment", s.Comment}, {"hardware", s.Hardware}, {"operating system", s.OS},
		{"application", s.Application}, {"interface name", s.InterfaceName},
		{"interface description", s.InterfaceDescription},
		{"filter", "\x00" + s.Filter}, // a code byte goes before it
	} {
		if len(o.value) > MaxOptionLen {
			return nil, fmt.Errorf("%s of %d bytes is longer than a pcapng option can hold (%d)",
				o.name, len(o.value), MaxOptionLen)
		}
	}
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{
		Name:        s.InterfaceName,
		Description: s.InterfaceDescription,
		Filter:      s.Filter,
		OS:          s.OS,
		LinkType:    layers.LinkType(LinkTypeRaw),
		SnapLength:  s.Snaplen,
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
		Comment:     s.Comment,
		Hardware:    s.Hardware,
		OS:          s.OS,
		Application: s.Application,
	}})
	if err != nil {
		return nil, fmt.Errorf("encode section header: %w", err)
	}
	if err := w.Flush(); err != nil {
		return nil, fmt.Errorf("encode section header: %w", err)
	}
	return b.Bytes(), nil
}
