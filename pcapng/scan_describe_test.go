package pcapng

import (
	"bytes"
	"testing"
)

// TestDescribe: what Encode and Append write is read back.
func TestDescribe(t *testing.T) {
	section := Section{Comment: "c", Hardware: "h", OS: "o", Application: "a", InterfaceName: "n",
		InterfaceDescription: "d", Filter: "udp", Snaplen: 7}
	statistics := Statistics{Start: 1 << 60, End: 1<<60 + 1, Received: 1 << 40, Dropped: 3, FilterAccept: 4, OSDropped: 5, Delivered: 6}
	file, err := section.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := NewScanner(bytes.NewReader(statistics.Append(file)))
	var gotSection Section
	var gotStatistics Statistics
	for s.Next() == nil {
		if err := s.Describe(&gotSection); err != nil {
			t.Fatal(err)
		}
		if read, ok := s.Statistics(); ok {
			gotStatistics = read
		}
	}
	if gotSection != section || gotStatistics != statistics || s.Err() != nil {
		t.Errorf("%+v\n%+v\n%v", gotSection, gotStatistics, s.Err())
	}
	if n := statistics.Filtered(); n != 1<<40-3-6 {
		t.Errorf("%d filtered", n)
	}
}
