package replay

import (
	"errors"
	"os"

	"github.com/tunrec/tunrec/pcapng"
)

type pcapngSource struct {
	scanner    *pcapng.Scanner
	sections   int
	section    pcapng.Section    // the first one, and its first interface
	statistics pcapng.Statistics // of its last block of them
}

// advance goes to the next block, and notes what it says of the others. A
// description that cannot be read is no reason not to read packets.
func (s *pcapngSource) advance() error {
	if err := s.scanner.Next(); err != nil {
		return err
	}
	switch s.scanner.Type() {
	case pcapng.BlockSectionHeader:
		s.sections++
	case pcapng.BlockInterfaceStatistics:
		if t, ok := s.scanner.Statistics(); ok {
			s.statistics = t
		}
	}
	if s.sections == 1 && len(s.scanner.Interfaces()) <= 1 {
		s.scanner.Describe(&s.section)
	}
	return nil
}

// Described returns what a pcapng file has said of itself so far, of its
// capture and of its end; what it did not say is empty. It reads, and waits, up
// to the description of the first interface. ok tells whether that goes for all
// packets: up to now there is one section of one interface, of raw IP.
func (r *Reader) Described() (section pcapng.Section, statistics pcapng.Statistics, ok bool) {
	s, ok := r.source.(*pcapngSource)
	if !ok {
		return section, statistics, false
	}
	for len(s.scanner.Interfaces()) == 0 {
		err := s.advance()
		if err == os.ErrDeadlineExceeded && r.in.live != nil {
			err = r.Wait(-1)
		}
		if err != nil { // Next returns it as well
			return section, statistics, false
		}
	}
	i := s.scanner.Interfaces()
	return s.section, s.statistics, s.sections == 1 && len(i) == 1 && i[0].LinkType == linkRaw
}

func (s *pcapngSource) next(f *frame) error {
	for {
		if err := s.advance(); err != nil {
			var c *pcapng.CorruptError
			if errors.As(err, &c) {
				return &DamageError{Offset: c.Offset, Reason: c.Reason, Err: c.Err}
			}
			return err
		}
		if p := s.scanner.Packet(); p != nil {
			f.linkType = p.Interface.LinkType
			f.data = p.Data
			f.origLen = max(int(p.OrigLen), len(p.Data))
			f.unixNano = p.UnixNano
			return nil
		}
	}
}
