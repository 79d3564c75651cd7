//go:build linux || darwin

package replay

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// blockingPipe makes a pipe as a shell does, in which an untimely read hangs.
func blockingPipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	return ends(t, fds)
}

func ends(t testing.TB, fds [2]int) (r, w *os.File) {
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	r, w = os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// flusher compresses, and has everything decodable after each Flush.
type flusher interface {
	io.WriteCloser
	Flush() error
}

type plain struct{ io.Writer }

func (plain) Flush() error { return nil }
func (plain) Close() error { return nil }

var flushers = map[string]func(testing.TB, io.Writer) flusher{
	"plain": func(_ testing.TB, w io.Writer) flusher { return plain{w} },
	"gzip":  func(_ testing.TB, w io.Writer) flusher { return gzip.NewWriter(w) },
	"zstd": func(t testing.TB, w io.Writer) flusher {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		return z
	},
}

// send writes b so that a reader can have all of it.
func send(t testing.TB, w flusher, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

func newReader(t testing.TB, stream io.Reader) *Reader {
	t.Helper()
	r, err := NewReader(stream, "test stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// take reads count packets, or all until an error where count is negative.
func take(r *Reader, count int) (packets []packet, err error) {
	dst := make([]byte, 65535)
	for len(packets) != count {
		n, origLen, unixNano, err := r.Next(dst, nil)
		if err != nil {
			return packets, err
		}
		if n > 0 {
			packets = append(packets, packet{string(dst[:n]), origLen, unixNano})
		} else if err := r.Wait(-1); err != nil {
			return packets, err
		}
	}
	return packets, nil
}

func wantNothing(t *testing.T, r *Reader) {
	t.Helper()
	if n, _, _, err := r.Next(make([]byte, 200), nil); n != 0 || err != nil {
		t.Fatalf("got %d bytes, %v, where nothing has been written", n, err)
	}
}

// TestBursts: what a stream has brought comes out while it is silent, and the
// silence can be left by a timeout.
func TestBursts(t *testing.T) {
	const n = 6
	for _, format := range []string{"pcap", "pcapng"} {
		for compression, newFlusher := range flushers {
			t.Run(format+"-"+compression, func(t *testing.T) {
				file, starts, before := sample(format, binary.LittleEndian, n)
				in, out := blockingPipe(t)
				w := newFlusher(t, out)
				half := starts[before+n/2]
				send(t, w, file[:half])
				r := newReader(t, in)
				got, err := take(r, n/2)
				if want := samplePackets(n); err != nil || !slices.Equal(got, want[:n/2]) {
					t.Fatalf("first burst: %v, %v", got, err)
				}
				wantNothing(t, r)
				if err := r.Wait(time.Millisecond); err != nil {
					t.Fatal(err)
				}
				wantNothing(t, r)

				send(t, w, file[half:])
				more, err := take(r, n/2)
				if want := samplePackets(n); err != nil || !slices.Equal(more, want[n/2:]) {
					t.Fatalf("second burst: %v, %v", more, err)
				}
				wantNothing(t, r)
				w.Close()
				out.Close()
				if more, err := take(r, -1); len(more) != 0 || err != io.EOF {
					t.Fatalf("at the end: %v, %v", more, err)
				}
			})
		}
	}
}

// TestHalfARecord stops the stream at every byte behind the headers.
func TestHalfARecord(t *testing.T) {
	const n = 3
	for _, format := range []string{"pcap", "pcapng"} {
		for compression, newFlusher := range flushers {
			t.Run(format+"-"+compression, func(t *testing.T) {
				file, starts, before := sample(format, binary.LittleEndian, n)
				var head, rest bytes.Buffer
				w := newFlusher(t, &head)
				send(t, w, file[:starts[before]])
				compressed := head.Len()
				send(t, w, file[starts[before]:])
				w.Close()
				rest.Write(head.Bytes()[compressed:])

				for cut := range rest.Len() {
					in, out := blockingPipe(t)
					w := plain{out}
					send(t, w, head.Bytes()[:compressed])
					r := newReader(t, in)
					send(t, w, rest.Bytes()[:cut])
					dst := make([]byte, 200)
					var got []packet
					for {
						n, origLen, unixNano, err := r.Next(dst, nil)
						if err != nil {
							t.Fatalf("cut at %d: %v", cut, err)
						}
						if n == 0 {
							break
						}
						got = append(got, packet{string(dst[:n]), origLen, unixNano})
					}
					send(t, w, rest.Bytes()[cut:])
					out.Close()
					more, err := take(r, -1)
					if got = append(got, more...); err != io.EOF || !slices.Equal(got, samplePackets(n)) {
						t.Fatalf("cut at %d: %d packets, %v", cut, len(got), err)
					}
					r.Close()
				}
			})
		}
	}
}

// TestCutPipe: a stream that ends too early gives what such a file gives, to
// the words of the error.
func TestCutPipe(t *testing.T) {
	for _, format := range []string{"pcap", "pcapng"} {
		file, _, _ := sample(format, binary.LittleEndian, 3)
		for compression, b := range map[string][]byte{"plain": file, "gzip": gzipped(t, file), "zstd": zstded(t, file)} {
			t.Run(format+"-"+compression, func(t *testing.T) {
				read := func(stream io.Reader) (packets []packet, message string) {
					r, err := NewReader(stream, "it")
					if err == nil {
						defer r.Close()
						packets, err = take(r, -1)
					}
					return packets, err.Error()
				}
				for cut := range len(b) + 1 {
					in, out := blockingPipe(t)
					send(t, plain{out}, b[:cut])
					out.Close()
					got, message := read(in)
					want, wantMessage := read(bytes.NewReader(b[:cut]))
					if compression == "zstd" && cut >= len(b)-4 && cut < len(b) {
						// Without the whole checksum zstd.Decoder.Read keeps back
						// the last block; its WriteTo, behind a pipe, does not.
						want, wantMessage = samplePackets(3), message
					}
					if message != wantMessage || !slices.Equal(got, want) {
						t.Fatalf("cut at %d: %d packets, %s\nthe file has %d packets, %s", cut, len(got), message, len(want), wantMessage)
					}
				}
			})
		}
	}
}

func TestWakeWhileSilent(t *testing.T) {
	file, _, _ := sample("pcapng", binary.LittleEndian, 1)
	for compression, newFlusher := range flushers {
		t.Run(compression, func(t *testing.T) {
			in, out := blockingPipe(t)
			send(t, newFlusher(t, out), file)
			r := newReader(t, in)
			if _, err := take(r, 1); err != nil {
				t.Fatal(err)
			}
			for range 70_000 { // more than a pipe has room for
				r.Wake()
			}
			wantNothing(t, r) // and it does not use up the wake
			if err := r.Wait(-1); err != nil {
				t.Fatal(err)
			}
			if _, woken, err := r.in.live.Waker.Wait(-1, 0); woken || err != nil {
				t.Errorf("one Wait has not used up all wakes: %v", err)
			}
			waited := make(chan error)
			for range 100 {
				go func() { waited <- r.Wait(-1) }()
				r.Wake()
				if err := <-waited; err != nil {
					t.Fatal(err)
				}
			}
			r.Close()
			r.Wake()
		})
	}
}

// TestCloseWhileDecoding ends the decoder's goroutine while it waits for the
// stream, and while it waits for the Reader.
func TestCloseWhileDecoding(t *testing.T) {
	file := bulk("pcapng", 5000) // more than the pipe between them holds
	for name, b := range map[string][]byte{"reading": file[:4096], "writing": file} {
		for compression, newFlusher := range flushers {
			if compression == "plain" {
				continue
			}
			t.Run(name+"-"+compression, func(t *testing.T) {
				in, out := blockingPipe(t)
				send(t, newFlusher(t, out), b)
				r := newReader(t, in)
				if _, err := take(r, 1); err != nil {
					t.Fatal(err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				<-r.in.pump.done
				if _, err := in.Stat(); err != nil {
					t.Errorf("Close has closed the stream: %v", err)
				}
			})
		}
	}
}

func TestFIFOAndSocket(t *testing.T) {
	file, starts, _ := sample("pcap", binary.LittleEndian, 2)
	head, records := file[:starts[0]], file[starts[0]:]
	use := func(t *testing.T, r *Reader, w *os.File) {
		t.Helper()
		send(t, plain{w}, records)
		r.Wake() // hides nothing that is there
		dst := make([]byte, 200)
		for _, want := range samplePackets(2) {
			if n, _, _, err := r.Next(dst, nil); string(dst[:n]) != want.data || err != nil {
				t.Fatalf("got %d bytes, %v", n, err)
			}
		}
		wantNothing(t, r)
		if err := r.Wait(-1); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if _, err := take(r, 1); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
	}
	t.Run("fifo", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := os.OpenFile(path, os.O_RDWR, 0) // does not wait for a reader
		if err != nil {
			t.Fatal(err)
		}
		send(t, plain{w}, head)
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		use(t, r, w)
	})
	t.Run("socket", func(t *testing.T) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		in, out := ends(t, fds)
		send(t, plain{out}, head)
		use(t, newReader(t, in), out)
	})
}

// TestStreamIsLeftAsItWas: no descriptor stays behind, also where opening
// fails, and a shared standard input stays blocking.
func TestStreamIsLeftAsItWas(t *testing.T) {
	file, _, _ := sample("pcap", binary.LittleEndian, 1)
	inputs := [][]byte{file, gzipped(t, file), zstded(t, file), []byte("some text"), gzipped(t, []byte("some text")), zstded(t, []byte("some text")), nil}
	descriptors := func() int {
		entries, err := os.ReadDir("/dev/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := descriptors()
	for range 10 {
		for _, b := range inputs {
			in, out := blockingPipe(t)
			send(t, plain{out}, b)
			out.Close()
			fd := int(in.Fd())
			if r, err := NewReader(in, "some stream"); err == nil {
				r.Close()
			}
			// Were it non-blocking, a new File would know deadlines.
			again, err := syscall.Dup(fd)
			if err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(again), "again")
			if err := f.SetReadDeadline(time.Now()); err == nil {
				t.Error("the stream has been made non-blocking")
			}
			f.Close()
			in.Close()
		}
	}
	if after := descriptors(); after > before+5 { // the test binary may open some of its own
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestLiveNextAllocatesNothing(t *testing.T) {
	file, starts, _ := sample("pcap", binary.LittleEndian, 1)
	in, out := blockingPipe(t)
	send(t, plain{out}, file)
	r := newReader(t, in)
	if _, err := take(r, 1); err != nil {
		t.Fatal(err)
	}
	record, dst := file[starts[0]:], make([]byte, 65535)
	if n := testing.AllocsPerRun(1000, func() {
		if n, _, _, err := r.Next(dst, nil); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		out.Write(record)
		r.Wait(-1)
		if n, _, _, err := r.Next(dst, nil); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}
