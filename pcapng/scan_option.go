package pcapng

// OptionIter walks through the options of one block (draft §3.5):
//
//	0      2       4
//	| code | length | value, padded to 4 |
//
// until opt_endofopt or the end of the block.
//
//	options := s.Options()
//	for options.Next() {
//		… options.Code, options.Value …
//	}
//	if err := options.Err(); err != nil { … }
type OptionIter struct {
	Code  uint16
	Value []byte // without padding, in the byte order of the section; valid until Scanner.Next

	rest  []byte
	order byteOrder
	start int64 // of the block
	err   error
}

const optionHeaderLen = 4

// Options returns the options of the current block: of a section header, an
// interface description, interface statistics, an Enhanced Packet Block or a
// Packet Block. For other blocks there are none to walk through.
func (s *Scanner) Options() OptionIter {
	it := OptionIter{order: s.order, start: s.start}
	if s.body == nil {
		return it
	}
	switch s.typ {
	case BlockEnhancedPacket, BlockPacket:
		padded := (len(s.packet.Data) + 3) &^ 3
		it.rest = s.body[packetFixedLen+padded:]
	case BlockInterfaceDescription:
		it.rest = s.body[interfaceFixedLen:]
	case BlockInterfaceStatistics:
		it.rest = s.body[statisticsFixedLen:]
	case BlockSectionHeader:
		it.rest = s.body[sectionFixedLen:]
	}
	return it
}

// Next goes to the next option; false at the end and at damage.
func (it *OptionIter) Next() bool {
	if len(it.rest) < optionHeaderLen { // blocks are padded: there are 0 bytes
		return false
	}
	code, length := it.order.u16(it.rest), int(it.order.u16(it.rest[2:]))
	if code == optEndOfOptions {
		it.rest = nil
		return false
	}
	padded := (length + 3) &^ 3
	if padded > len(it.rest)-optionHeaderLen {
		it.err = &CorruptError{Offset: it.start, Reason: "an option goes beyond the end of its block"}
		it.rest = nil
		return false
	}
	value := it.rest[optionHeaderLen:]
	it.Code, it.Value, it.rest = code, value[:length:length], value[padded:]
	return true
}

// Err returns the *CorruptError that ended the walk, if it was not the end of
// the options.
func (it *OptionIter) Err() error { return it.err }
