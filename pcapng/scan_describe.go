package pcapng

// Options of the Section Header Block (draft-ietf-opsawg-pcapng §4.1), and of
// every block (§3.5).
const (
	optComment        = 1
	optSHBHardware    = 2
	optSHBOS          = 3
	optSHBApplication = 4
)

// Describe notes in a Section what the current block says of it: a section
// header, or the description of an interface. Other blocks say nothing.
func (s *Scanner) Describe(to *Section) error {
	var text map[uint16]*string
	switch s.typ {
	case BlockSectionHeader:
		text = map[uint16]*string{
			optComment: &to.Comment, optSHBHardware: &to.Hardware,
			optSHBOS: &to.OS, optSHBApplication: &to.Application,
		}
	case BlockInterfaceDescription:
		text = map[uint16]*string{optIDBName: &to.InterfaceName, optIDBDescription: &to.InterfaceDescription}
		to.Snaplen = s.interfaces[len(s.interfaces)-1].Snaplen
	default:
		return nil
	}
	options := s.Options()
	for options.Next() {
		value := options.Value
		if text[options.Code] != nil {
			*text[options.Code] = string(value)
		} else if s.typ == BlockInterfaceDescription && options.Code == optIDBFilter && len(value) > 0 && value[0] == 0 {
			to.Filter = string(value[1:]) // 0: an expression, not byte code
		}
	}
	return options.Err()
}

// Statistics returns what the current block says, where it is an Interface
// Statistics Block. What it does not say, or cannot be (above MaxCount), is 0.
func (s *Scanner) Statistics() (t Statistics, ok bool) {
	if s.typ != BlockInterfaceStatistics || s.body == nil {
		return t, false
	}
	id := s.order.u32(s.body)
	if uint64(id) >= uint64(len(s.interfaces)) {
		return t, false
	}
	counts := map[uint16]*uint64{
		optISBIfRecv: &t.Received, optISBIfDrop: &t.Dropped, optISBFilterAccept: &t.FilterAccept,
		optISBOSDrop: &t.OSDropped, optISBUsrDeliv: &t.Delivered,
	}
	times := map[uint16]*int64{optISBStartTime: &t.Start, optISBEndTime: &t.End}
	options := s.Options()
	for options.Next() {
		value := options.Value
		if len(value) != 8 {
			continue
		}
		if to := counts[options.Code]; to != nil {
			if n := s.ByteOrder().Uint64(value); n <= MaxCount {
				*to = n
			}
		} else if to := times[options.Code]; to != nil {
			*to = s.interfaces[id].UnixNano(uint64(s.order.u32(value))<<32 | uint64(s.order.u32(value[4:])))
		}
	}
	t.Dropped = max(t.Dropped, t.OSDropped) // others may say the part alone
	return t, options.Err() == nil
}
