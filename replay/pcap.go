package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Layout of a pcap file (draft-ietf-opsawg-pcap §4 and §5), 32-bit fields but
// for the version:
//
//	file    | magic | major, minor | 2 reserved | snaplen | link type |
//	record  | seconds | fraction | captured length | original length | data
const (
	pcapFileHeaderLen   = 24
	pcapRecordHeaderLen = 16

	// maxCaptured is libpcap's MAXIMUM_SNAPLEN (pcap-int.h): no record of the
	// link types that hold IP is longer.
	maxCaptured = 262144

	pcapBufferLen = 512 << 10 // more than one record, so that each stands in it whole
)

type pcapSource struct {
	in       *bufio.Reader
	order    binary.ByteOrder
	unit     int64 // nanoseconds in one unit of a timestamp's fraction
	linkType uint16
	offset   int64 // of the next record
	used     int   // bytes of the buffer that the last frame stands in
}

func newPcapSource(in *input, order binary.ByteOrder, unit int64) (*pcapSource, error) {
	s := &pcapSource{in: bufio.NewReaderSize(in, pcapBufferLen), order: order, unit: unit}
	head, err := s.in.Peek(pcapFileHeaderLen)
	if err != nil {
		return nil, s.cutOff(err, len(head), pcapFileHeaderLen)
	}
	if major, minor := order.Uint16(head[4:]), order.Uint16(head[6:]); major != 2 || minor != 4 {
		return nil, isNoCapture("%s is a pcap file of version %d.%d, only 2.4 is read", in.name, major, minor)
	}
	s.linkType = uint16(order.Uint32(head[20:])) // the bits above tell of a frame check sequence
	s.advance(pcapFileHeaderLen)
	return s, nil
}

// advance marks n buffered bytes as belonging to the frame that is returned.
func (s *pcapSource) advance(n int) {
	s.used = n
	s.offset += int64(n)
}

func (s *pcapSource) next(f *frame) error {
	s.in.Discard(s.used) // cannot fail: they are in the buffer
	s.used = 0
	head, err := s.in.Peek(pcapRecordHeaderLen)
	if err == io.EOF && len(head) == 0 {
		return io.EOF
	}
	if err != nil {
		return s.cutOff(err, len(head), pcapRecordHeaderLen)
	}
	captured := s.order.Uint32(head[8:])
	if captured > maxCaptured {
		return &DamageError{Offset: s.offset, Reason: fmt.Sprintf("a record of %d captured bytes, more than the %d that there can be", captured, maxCaptured)}
	}
	n := pcapRecordHeaderLen + int(captured)
	record, err := s.in.Peek(n)
	if err != nil {
		return s.cutOff(err, len(record), n)
	}
	f.linkType = s.linkType
	f.data = record[pcapRecordHeaderLen:]
	f.origLen = int(max(s.order.Uint32(record[12:]), captured))
	f.unixNano = int64(s.order.Uint32(record))*1e9 + int64(s.order.Uint32(record[4:]))*s.unit
	s.advance(n)
	return nil
}

func (s *pcapSource) cutOff(err error, have, want int) error {
	if err == os.ErrDeadlineExceeded {
		return err // a live stream: the rest has not come yet
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &DamageError{Offset: s.offset, Reason: readReason(err, have, want), Err: err}
}

func readReason(err error, have, want int) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("cut off: %d of %d bytes are there", have, want)
	}
	return err.Error()
}
