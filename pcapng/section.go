package pcapng

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// MaxOptionLen is the longest value of an option in bytes: its length has 16 bits
// (draft-ietf-opsawg-pcapng §3.5).
const MaxOptionLen = 65535

// filterIsText stands before a filter: it is one in libpcap's language.
const filterIsText = "\x00"

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
func (s Section) Encode() ([]byte, error) { return s.EncodeAs(LinkTypeRaw, 9) }

// EncodeAs is Encode for an interface of another link type, and time stamps of
// 10^-resolution seconds.
func (s Section) EncodeAs(linkType uint16, resolution byte) ([]byte, error) {
	filter := s.Filter
	if filter != "" {
		filter = filterIsText + filter
	}
	header := []option{
		{"application", optSHBApplication, s.Application},
		{"comment", optComment, s.Comment},
		{"hardware", optSHBHardware, s.Hardware},
		{"operating system", optSHBOS, s.OS},
	}
	description := []option{
		{"interface name", optIDBName, s.InterfaceName},
		{"interface description", optIDBDescription, s.InterfaceDescription},
		{"filter", optIDBFilter, filter},
		{"operating system", optIDBOS, s.OS},
		{"resolution", optIDBTsresol, string([]byte{resolution})},
	}
	for _, o := range slices.Concat(header, description) {
		if len(o.value) > MaxOptionLen {
			return nil, fmt.Errorf("%s of %d bytes is longer than a pcapng option can hold (%d)", o.name, len(o.value), MaxOptionLen)
		}
	}
	le := binary.LittleEndian
	head := le.AppendUint32(nil, ByteOrderMagic)
	head = le.AppendUint32(head, 1)          // version 1.0
	head = le.AppendUint64(head, ^uint64(0)) // section length: not told
	b := appendBlock(nil, BlockSectionHeader, head, header)
	head = le.AppendUint32(head[:0], uint32(linkType))
	head = le.AppendUint32(head, s.Snaplen)
	return appendBlock(b, BlockInterfaceDescription, head, description), nil
}

type option struct {
	name  string
	code  uint16
	value string
}

// appendBlock appends a block of a head, whose length is a multiple of 4, and
// of the options that are not empty.
func appendBlock(b []byte, kind uint32, head []byte, options []option) []byte {
	le := binary.LittleEndian
	begin := len(b)
	b = append(le.AppendUint64(b, uint64(kind)), head...)
	none := len(b)
	for _, o := range options {
		if o.value == "" {
			continue
		}
		b = le.AppendUint16(le.AppendUint16(b, o.code), uint16(len(o.value)))
		b = append(b, o.value...)
		b = append(b, 0, 0, 0)[:len(b)+(4-len(o.value)&3)&3]
	}
	if len(b) > none {
		b = le.AppendUint32(b, optEndOfOptions)
	}
	total := uint32(len(b) - begin + 4)
	le.PutUint32(b[begin+4:], total)
	return le.AppendUint32(b, total)
}
