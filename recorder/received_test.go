package recorder

import (
	"path/filepath"
	"testing"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
	"github.com/tunrec/tunrec/rotate"
)

// What was received is the same in the counts of the recording and in those of its
// files added up, whatever became of the packets.
func TestReceivedIsTheSame(t *testing.T) {
	const packets = 20_500 // the last file is not full, and so takes what is counted at the end
	odd := func(packet []byte, _ int) bool { return packet[len(packet)-1]%2 == 1 }
	for name, set := range map[string]func(*series){
		"all":             func(*series) {},
		"filter":          func(s *series) { s.config.Filter = odd },
		"snaplen":         func(s *series) { s.config.Snaplen = 20 },
		"queue":           func(s *series) { s.src.drops = 1234 },
		"count":           func(s *series) { s.config.Count = 777 },
		"count, filter":   func(s *series) { s.config.Count, s.config.Filter = 777, odd },
		"files":           func(s *series) { s.files.Stop.Files = 2 },
		"files, all else": func(s *series) { s.files.Stop.Files, s.config.Filter, s.src.drops = 2, odd, 1234 },
		"filesize": func(s *series) {
			s.files.Policy, s.config.FilePackets = rotate.Policy{}, 0
			s.files.Stop.FileBytes, s.config.Filter = 20_000, odd
		},
		"filter, queue": func(s *series) { s.config.Filter, s.config.Snaplen, s.src.drops = odd, 20, 1234 },
		"plain": func(s *series) {
			s.config.Form, s.config.Filter, s.src.drops = capfile.Plain, odd, 1234
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSeries(t, rotate.Policy{Packets: 1000})
			set(s)
			s.src.push(numbered(0, packets)...)
			r, _ := s.record(t)
			st := r.Stats()
			if st.Received != st.Recorded+st.Filtered+st.Lost() {
				t.Errorf("counts do not add up: %+v", st)
			}
			limited := s.files.Stop != rotate.Stop{} || s.config.Count > 0
			if want := packets + s.src.drops; !limited && st.Received != want || limited && st.Received >= want {
				t.Errorf("received %d of %d", st.Received, want)
			}
			got := sumOfFiles(t, s.dir)
			want := pcapng.Statistics{
				Received: st.Received, Dropped: st.Lost(), FilterAccept: st.Recorded,
				OSDropped: st.DroppedByQueue, Delivered: st.Recorded,
			}
			if got != want {
				t.Errorf("the files say %+v, the recording %+v", got, want)
			}
		})
	}
}

// sumOfFiles adds up the counts of the Interface Statistics Blocks in dir.
func sumOfFiles(t *testing.T, dir string) (sum pcapng.Statistics) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.pcapng*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("files %q, %v", names, err)
	}
	for _, name := range names {
		f, err := capfile.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		s := f.Info().Statistics
		f.Close()
		sum.Received += s.Received
		sum.Dropped += s.Dropped
		sum.FilterAccept += s.FilterAccept
		sum.OSDropped += s.OSDropped
		sum.Delivered += s.Delivered
	}
	return sum
}
