package tun

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestLinuxName(t *testing.T) {
	for _, good := range []string{"a", "tun0", "tunrec", "fifteen-bytes-x", "...", "a.b", "ü", "-"} {
		if err := linuxName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "sixteen-bytes-xx", ".", "..", "all", "default", "a/b", "a b", "a\tb", "a\n", "a:1", "tun%d", "à", "a\x00b", "a\x7f",
	} {
		if err := linuxName(bad); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestUtunName(t *testing.T) {
	for _, good := range []string{"utun0", "utun7", "utun32766"} {
		if err := utunName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "utun", "utun-1", "utun+1", "utun01", "utun 1", "utun32767", "utun99999999999", "tun0", "UTUN0"} {
		if err := utunName(bad); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestDarwinAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"24.6.0": true, "24.6": true, "24.10.0": true, "25.0.0": true,
		"24.5.9": false, "23.6.0": false, "": false, "x": false, "24": false,
	} {
		if got := darwinAtLeast(release, 24, 6); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

// ifMessage is a struct if_msghdr2 whose every other field is filled with 0xff.
func ifMessage(index uint16, sndDrops uint32, oerrors uint64) []byte {
	m := []byte(strings.Repeat("\xff", 160))
	binary.LittleEndian.PutUint16(m[0:], 160)
	m[2], m[3] = 5, 0x12 // RTM_VERSION, RTM_IFINFO2
	binary.LittleEndian.PutUint16(m[12:], index)
	binary.LittleEndian.PutUint32(m[24:], sndDrops)
	binary.LittleEndian.PutUint64(m[80:], oerrors)
	return m
}

func TestParseDrops(t *testing.T) {
	// An RTM_NEWMADDR2 as comes between: only its length and type matter.
	other := append([]byte{20, 0, 5, 0x13}, make([]byte, 16)...)
	list := append(append(ifMessage(4, 1000, 1000), other...), ifMessage(17, 40, 2)...)
	if n, err := parseDrops(list, 17); n != 42 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	for name, list := range map[string][]byte{
		"nothing":       nil,
		"other device":  ifMessage(4, 1, 1),
		"only others":   other,
		"cut":           ifMessage(17, 40, 2)[:159],
		"length 0":      make([]byte, 160),
		"short message": {5, 0, 5, 0x12, 0},
	} {
		if n, err := parseDrops(list, 17); err == nil {
			t.Errorf("%s: got %d without an error", name, n)
		}
	}
}
