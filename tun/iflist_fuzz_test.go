package tun

import "testing"

// FuzzParseDrops reads a list of devices as a kernel may have written it.
func FuzzParseDrops(f *testing.F) {
	message := make([]byte, ifMsghdr2Len)
	message[0], message[routeMessageType], message[ifMsghdr2Index] = ifMsghdr2Len, rtmIfinfo2, 7
	f.Add(message, 7)
	f.Add(append(message[:ifMsghdr2Len:ifMsghdr2Len], message...), 8)
	f.Add([]byte{4, 0, 0, rtmIfinfo2}, 0)
	f.Fuzz(func(t *testing.T, list []byte, index int) {
		if drops, err := parseDrops(list, index); err == nil && (len(list) < ifMsghdr2Len || index < 0 || index > 65535) {
			t.Errorf("%d drops of device %d in %d bytes", drops, index, len(list))
		}
	})
}
