package pcapng

import (
	"bytes"
	"testing"
)

// TestDescribe: what Encode and Append write is read back.
func TestDescribe(t *testing.T) {
	section := Section{Comment: "c", Hardware: "h", OS: "o", Application: "a", InterfaceName: "n",
		InterfaceDescription: "d", Filter: "udp", Snaplen: 7}
	statistics := Statistics{Start: 1 << 60, End: 1<<60 + 1, Received: 1 << 40, Dropped: 3, FilterAccept: 4, OSDropped: 2, Delivered: 6}
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

// TestStatisticsOfOthers: who says only what the queue has dropped has dropped
// that, and no count is beyond belief.
func TestStatisticsOfOthers(t *testing.T) {
	for said, want := range map[Statistics]Statistics{
		{OSDropped: 7}: {OSDropped: 7, Dropped: 7},
		{Received: 1<<64 - 1, Dropped: 1<<64 - 1, OSDropped: MaxCount + 1, Delivered: MaxCount}: {Delivered: MaxCount},
	} {
		file, err := Section{}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s := NewScanner(bytes.NewReader(said.Append(file)))
		var got Statistics
		for s.Next() == nil {
			got, _ = s.Statistics()
		}
		if got != want {
			t.Errorf("%+v is read as %+v, want %+v", said, got, want)
		}
	}
}
