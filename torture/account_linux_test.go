package torture

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/internal/load"
	"github.com/tunrec/tunrec/pcapng"
)

// account is what is in the files of a recording.
type account struct {
	files      []string
	packets    uint64 // all of them
	ours       uint64 // that the rig sent, each counted once
	twice      uint64
	holes      uint64 // not there, although a later one of their stream is
	dropped    uint64 // that the files say were lost
	cut        int    // files without an end
	empty      int    // files without a packet
	shown      uint64 // that Wireshark reads
	last       int64  // when the latest packet of ours was sent, Unix time in ns
	worstStamp int64  // the most that a packet's stamp is off its sending, ns
	refused    []string
}

// captures are the capture files below a folder, oldest number first.
func captures(dir string) (files []string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && (strings.HasSuffix(path, ".pcapng") || strings.HasSuffix(path, ".pcapng.zst")) {
			files = append(files, path)
		}
		return nil // a folder that has gone has no files
	})
	slices.Sort(files)
	return files
}

// account reads files with tunrec's own reader, and has Wireshark count them, too.
func (g *rig) account(files []string) *account {
	a := &account{files: files}
	seen := map[uint16][]bool{}
	counts, cut := map[string]uint64{}, map[string]bool{}
	for _, file := range files {
		before, whole := a.packets, a.cut
		if err := a.read(file, seen); err != nil {
			a.refuse(file, "tunrec: "+err.Error())
		}
		counts[file], cut[file] = a.packets-before, a.cut > whole
		if counts[file] == 0 {
			a.empty++
		}
	}
	a.countHoles(seen)
	for file, n := range wireshark(files) {
		a.shown += n.packets
		switch {
		case n.err != nil:
			a.refuse(file, n.err.Error())
		case n.packets < counts[file] || n.packets > counts[file] && !cut[file]:
			// Of a chunk that is not whole, Wireshark shows the beginning.
			a.refuse(file, fmt.Sprintf("capinfos counts %d packets, tunrec %d", n.packets, counts[file]))
		}
	}
	slices.Sort(a.refused)
	return a
}

// inFiles counts packets of ours that are readable while files are being written.
func inFiles(dir string) uint64 {
	a := &account{}
	seen := map[uint16][]bool{}
	for _, f := range captures(dir) {
		_ = a.read(f, seen) // what cannot be read yet counts nothing
	}
	return a.ours
}

// allWritten waits until all that was sent is in files: nothing waits for anything.
func (g *rig) allWritten() {
	g.t.Helper()
	sent := g.streams.sent()
	g.within(20*time.Second, fmt.Sprintf("all %d packets are in files", sent), func() bool { return inFiles(g.dir) >= sent })
}

func (a *account) refuse(file, why string) {
	a.refused = append(a.refused, filepath.Base(file)+": "+why)
}

func (a *account) read(file string, seen map[uint16][]bool) error {
	r, err := capfile.Open(file)
	if errors.Is(err, capfile.ErrForeign) { // -o -
		return a.readStream(file, seen)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	info := r.Info()
	a.dropped += info.Dropped + info.Unplaced.Dropped + info.Unplaced.DroppedByQueue
	if info.Damage != nil {
		a.cut++
		if !errors.Is(info.Damage, io.ErrUnexpectedEOF) {
			return info.Damage
		}
	}
	for p, err := range r.Packets(math.MinInt64, math.MaxInt64) {
		if err != nil {
			return err
		}
		a.packet(p.Data, p.UnixNano, seen)
	}
	return nil
}

// readStream reads plain pcapng, which may be cut off anywhere.
func (a *account) readStream(file string, seen map[uint16][]bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	s := pcapng.NewScanner(bufio.NewReader(f))
	for s.Next() == nil {
		if p := s.Packet(); p != nil {
			a.packet(p.Data, p.UnixNano, seen)
		}
		if t, ok := s.Statistics(); ok {
			a.dropped += t.Dropped
		}
	}
	if s.Err() != nil {
		a.cut++
	}
	return nil
}

// packet counts one packet of IPv4 and UDP.
func (a *account) packet(b []byte, stamp int64, seen map[uint16][]bool) {
	a.packets++
	const headers = 20 + 8
	if len(b) < headers || b[0] != 0x45 || b[9] != unix.IPPROTO_UDP {
		return
	}
	port := binary.BigEndian.Uint16(b[22:])
	number, sent, ok := load.ParsePayload(b[headers:])
	if !ok || number > 1<<28 {
		return
	}
	s := seen[port]
	if n := int(number) + 1 - len(s); n > 0 {
		s = append(s, make([]bool, n)...)
		seen[port] = s
	}
	if s[number] {
		a.twice++
		return
	}
	s[number] = true
	a.ours++
	a.last = max(a.last, sent)
	a.worstStamp = max(a.worstStamp, stamp-sent, sent-stamp)
}

func (a *account) countHoles(seen map[uint16][]bool) {
	for _, s := range seen {
		for _, there := range s {
			if !there {
				a.holes++
			}
		}
	}
}

// counted is what capinfos finds in a file.
type counted struct {
	packets uint64
	err     error // it reads nothing of it
}

// wireshark has capinfos count the packets of all files at once.
func wireshark(files []string) map[string]counted {
	found := map[string]counted{}
	if len(files) == 0 {
		return found
	}
	// It complains of what is cut off, and goes on: the exit code says nothing.
	cmd := exec.Command("capinfos", append([]string{"-MTrc"}, files...)...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, _ := cmd.Output()
	printed := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, n, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok {
			printed[name] = n
		}
	}
	for _, file := range files {
		n, err := strconv.ParseUint(printed[file], 10, 64)
		if err != nil {
			err = fmt.Errorf("capinfos reads nothing of it: %s", strings.TrimSpace(complaints.String()))
		}
		found[file] = counted{n, err}
	}
	return found
}

// summary is what the recorder says at its end (the event "stopped").
type summary struct {
	Recorded       uint64 `json:"recorded"`
	Received       uint64 `json:"received"`
	DroppedByQueue uint64 `json:"dropped_by_queue"`
	Exact          bool   `json:"dropped_by_queue_exact"`
	DroppedNoSlab  uint64 `json:"dropped_no_slab"`
	DroppedByWrite uint64 `json:"dropped_by_write"`
	AfterLimit     uint64 `json:"after_limit"`
	AfterStop      uint64 `json:"after_stop"` // that came while the device was going

	// Meddled were recorded in files that somebody else removed or changed. It is told
	// in words only.
	Meddled uint64 `json:"-"`
}

// dropped are packets that should have been recorded.
func (s *summary) dropped() uint64 { return s.DroppedByQueue + s.DroppedNoSlab + s.DroppedByWrite }

// gone is all that is told not to be in a file, or not in one of the recorder's own.
func (s *summary) gone() uint64 { return s.dropped() + s.AfterLimit + s.AfterStop + s.Meddled }

// event is a line of --json.
type event struct {
	Event string `json:"event"`
	File  string `json:"file"`
	Error string `json:"error"`

	Addresses []string `json:"addresses"`
}

// events are those of one kind that were printed.
func (r *recorder) events(kind string) (found []event) {
	b, _ := os.ReadFile(r.out)
	for line := range strings.Lines(string(b)) {
		var e event
		if json.Unmarshal([]byte(line), &e) == nil && e.Event == kind {
			found = append(found, e)
		}
	}
	return found
}

// summary is the last word of a recorder that has ended, nil where there is none.
func (r *recorder) summary() *summary {
	s := r.counts("stopped")
	if s == nil {
		s = r.spoken()
	}
	if m := meddledWith.FindStringSubmatch(r.text()); s != nil && m != nil {
		s.Meddled = number(m[1])
	}
	return s
}

// counts are those of the last event of that kind.
func (r *recorder) counts(kind string) (last *summary) {
	b, _ := os.ReadFile(r.out)
	for line := range strings.Lines(string(b)) {
		var s struct {
			event
			summary
		}
		if json.Unmarshal([]byte(line), &s) == nil && s.Event == kind {
			last = &s.summary
		}
	}
	return last
}

var closing = regexp.MustCompile(`(?s): ([\d,]+) packets? recorded, .*?([\d,]+) received, .*?` +
	`(at least )?([\d,]+) dropped by the kernel, ([\d,]+) for want of memory, ([\d,]+) by write errors`)

var meddledWith = regexp.MustCompile(`([\d,]+) packets? recorded in files that somebody else removed or changed`)

// number reads digits with separators, as an expression has found them.
func number(digits string) uint64 {
	n, _ := strconv.ParseUint(strings.ReplaceAll(digits, ",", ""), 10, 64)
	return n
}

// spoken is the summary in the recorder's words, where there is no JSON.
func (r *recorder) spoken() *summary {
	m := closing.FindStringSubmatch(r.text())
	if m == nil {
		return nil
	}
	s := &summary{
		Recorded: number(m[1]), Received: number(m[2]), Exact: m[3] == "",
		DroppedByQueue: number(m[4]), DroppedNoSlab: number(m[5]), DroppedByWrite: number(m[6]),
	}
	if m := afterStop.FindStringSubmatch(r.text()); m != nil {
		s.AfterStop = number(m[1])
	}
	return s
}

var afterStop = regexp.MustCompile(`([\d,]+) packets? came after the stop`)
