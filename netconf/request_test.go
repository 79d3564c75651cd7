package netconf

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// The bytes are written down from the structs of the xnu headers, one line a
// member.
func TestDarwinRequests(t *testing.T) {
	const utun7 = "7574756e37 0000000000000000000000"
	mtu := newMTURequest("utun7", 9000)
	pair := newAddrRequest("utun7", mustAddr(t, "10.1.0.10,10.1.0.20"))
	subnet := newAddrRequest("utun7", mustAddr(t, "10.9.0.1/20"))
	pair6 := newAddr6Request("utun7", mustAddr(t, "fd00::1,fd00::2"))
	subnet6 := newAddr6Request("utun7", mustAddr(t, "fd00::1/60"))
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"mtu", mtu[:], utun7 + `
			28230000
			000000000000000000000000`},
		{"pair", pair[:], utun7 + `
			10 02 0000 0a01000a 0000000000000000
			10 02 0000 0a010014 0000000000000000
			10 02 0000 ffffffff 0000000000000000`},
		{"subnet", subnet[:], utun7 + `
			10 02 0000 0a090001 0000000000000000
			10 02 0000 0a090001 0000000000000000
			10 02 0000 fffff000 0000000000000000`},
		{"IPv6 pair", pair6[:], utun7 + `
			1c 1e 0000 00000000 fd000000000000000000000000000001 00000000
			1c 1e 0000 00000000 fd000000000000000000000000000002 00000000
			1c 1e 0000 00000000 ffffffffffffffffffffffffffffffff 00000000
			20000000
			0000000000000000 0000000000000000 ffffffff ffffffff`},
		{"IPv6 subnet", subnet6[:], utun7 + `
			1c 1e 0000 00000000 fd000000000000000000000000000001 00000000
			00 00 0000 00000000 00000000000000000000000000000000 00000000
			1c 1e 0000 00000000 fffffffffffffff00000000000000000 00000000
			20000000
			0000000000000000 0000000000000000 ffffffff ffffffff`},
	} {
		want, err := hex.DecodeString(strings.Join(strings.Fields(tt.want), ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(tt.got, want) {
			t.Errorf("%s:\n got %x\nwant %x", tt.name, tt.got, want)
		}
	}
}

func mustAddr(t *testing.T, s string) Addr {
	t.Helper()
	a, err := ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
