package tun

import "fmt"

// IngestKind is a make of Ingest: how packets come from the kernel to the reader.
type IngestKind int

const (
	IngestAuto IngestKind = iota // ring where the kernel and the privileges allow it, else read
	IngestRead                   // a system call for each packet, on every system
	IngestRing                   // an eBPF program puts packets into a ring in shared memory, on Linux
)

const (
	// DefaultRingBytes is the Config.RingBytes that 0 stands for. It holds what
	// comes in 0.2 s at two million packets of 100 bytes a second.
	DefaultRingBytes = 64 << 20
	// MinRingBytes and MaxRingBytes bound Config.RingBytes. The least holds a
	// few of the longest packets; the most is what an eBPF program can address
	// (BPF_MAX_VAR_OFF in linux/bpf_verifier.h).
	MinRingBytes = 256 << 10
	MaxRingBytes = 256 << 20
)

var kindNames = [...]string{"auto", "read", "ring"}

// String returns the name that ParseIngestKind takes.
func (k IngestKind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("IngestKind(%d)", int(k))
	}
	return kindNames[k]
}

// ParseIngestKind takes "auto", "read" or "ring".
func ParseIngestKind(name string) (IngestKind, error) {
	for k, n := range kindNames {
		if n == name {
			return IngestKind(k), nil
		}
	}
	return 0, invalid("ingest %q is none of auto, read and ring", name)
}

func (k IngestKind) validate() error {
	_, err := ParseIngestKind(k.String())
	return err
}

func validateRingBytes(n int) error {
	if n < MinRingBytes || n > MaxRingBytes || n&(n-1) != 0 {
		return invalid("ring of %d bytes: has to be a power of two from %d to %d", n, MinRingBytes, MaxRingBytes)
	}
	return nil
}
