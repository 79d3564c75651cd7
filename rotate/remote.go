package rotate

import "os"

// A series whose directory only another user can write in. That user's process, the
// helper, makes the files (ServeDirectory) and passes their descriptors; the recorder
// asks for them by name. It is privilege separation as OpenSSH and dumpcap do it.
//
//	remote_linux.go   the recorder's end: a filesystem
//	serve_linux.go    the helper's end, and what it refuses

// Helper is the way to a process that makes the files of a series.
type Helper struct {
	lanes chan *os.File // idle ones
}

// HelperLanes is how many sockets a Helper should have: one for making a file, one for
// preparing the next, one for removing old ones, which may each wait for the disk.
const HelperLanes = 3

// NewHelper takes sockets (unix(7), SOCK_SEQPACKET) whose other ends ServeDirectory
// serves. They stay the caller's, to be closed after the Series.
func NewHelper(sockets []*os.File) *Helper {
	h := &Helper{lanes: make(chan *os.File, len(sockets))}
	for _, s := range sockets {
		h.lanes <- s
	}
	return h
}
