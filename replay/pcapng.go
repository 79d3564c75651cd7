package replay

import (
	"errors"

	"github.com/tunrec/tunrec/pcapng"
)

type pcapngSource struct{ scanner *pcapng.Scanner }

func (s *pcapngSource) next(f *frame) error {
	for {
		if err := s.scanner.Next(); err != nil {
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
