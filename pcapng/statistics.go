package pcapng

import "encoding/binary"

// Options of the Interface Statistics Block
// (draft-ietf-opsawg-pcapng §4.6, table 7).
const (
	optEndOfOptions    = 0
	optISBStartTime    = 2
	optISBEndTime      = 3
	optISBIfRecv       = 4
	optISBIfDrop       = 5
	optISBFilterAccept = 6
	optISBOSDrop       = 7
	optISBUsrDeliv     = 8
)

// Statistics is the content of an Interface Statistics Block for interface 0.
// All counts are of packets; all times are nanoseconds since 1970-01-01 00:00 UTC.
type Statistics struct {
	Start, End   int64  // isb_starttime, isb_endtime: of the recording
	Received     uint64 // isb_ifrecv: sent into the interface, lost ones too
	Dropped      uint64 // isb_ifdrop: lost, wherever it was (Wireshark shows this one)
	FilterAccept uint64 // isb_filteraccept: received that passed the capture filter
	OSDropped    uint64 // isb_osdrop: the part of Dropped that the system's queue lost
	Delivered    uint64 // isb_usrdeliv: recorded in this section
}

// MaxCount is the greatest count in Statistics that is believed: no capture comes
// near it, and sums do not overflow.
const MaxCount = 1 << 56

// Filtered is how many of the packets received the capture filter has rejected,
// by the other counts.
func (s Statistics) Filtered() uint64 {
	if rest := s.Delivered + s.Dropped; s.Received > rest {
		return s.Received - rest
	}
	return 0
}

// StatisticsLen is the length in bytes of the block that Append makes:
// header 20, seven options of 12, end of options 4, trailing length 4.
const StatisticsLen = 20 + 7*12 + 4 + 4

// Append appends the Interface Statistics Block to b.
func (s Statistics) Append(b []byte) []byte {
	le := binary.LittleEndian
	stamp := func(b []byte, unixNano int64) []byte {
		b = le.AppendUint32(b, uint32(uint64(unixNano)>>32))
		return le.AppendUint32(b, uint32(unixNano))
	}
	b = le.AppendUint32(b, BlockInterfaceStatistics)
	b = le.AppendUint32(b, StatisticsLen)
	b = le.AppendUint32(b, 0) // interface ID
	b = stamp(b, s.End)

	for _, o := range []struct {
		code     uint16
		unixNano int64
	}{{optISBStartTime, s.Start}, {optISBEndTime, s.End}} {
		b = le.AppendUint16(b, o.code)
		b = le.AppendUint16(b, 8)
		b = stamp(b, o.unixNano)
	}
	for _, o := range []struct {
		code  uint16
		count uint64
	}{
		{optISBIfRecv, s.Received}, {optISBIfDrop, s.Dropped}, {optISBFilterAccept, s.FilterAccept},
		{optISBOSDrop, s.OSDropped}, {optISBUsrDeliv, s.Delivered},
	} {
		b = le.AppendUint16(b, o.code)
		b = le.AppendUint16(b, 8)
		b = le.AppendUint64(b, o.count)
	}
	b = le.AppendUint32(b, optEndOfOptions)
	return le.AppendUint32(b, StatisticsLen)
}
