package pcapng

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// Sections have the bytes that gopacket's writer gives them.
func TestSectionAsGopacketWritesIt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	words := func() string { return strings.Repeat("word ", r.IntN(3)) + strings.Repeat("x", r.IntN(6)) }
	for range 300 {
		s := Section{words(), words(), words(), words(), words(), words(), words(), r.Uint32()}
		got, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		w, err := pcapgo.NewNgWriterInterface(&want, pcapgo.NgInterface{
			Name: s.InterfaceName, Description: s.InterfaceDescription, Filter: s.Filter, OS: s.OS,
			LinkType: layers.LinkType(LinkTypeRaw), SnapLength: s.Snaplen,
		}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
			Comment: s.Comment, Hardware: s.Hardware, OS: s.OS, Application: s.Application,
		}})
		if err != nil || w.Flush() != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%+v:\n%x, gopacket\n%x", s, got, want.Bytes())
		}
	}
}
