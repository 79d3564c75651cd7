package rotate

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// model is what a test knows of the files of a series.
type model struct {
	t     *testing.T
	rnd   *rand.Rand
	name  string
	p     Policy
	s     *Series
	now   time.Time
	files []*modelFile // oldest first
}

type modelFile struct {
	name    string
	size    int
	last    time.Time
	open    *File
	file    *File // of this run
	pinned  bool
	foreign bool
	planted bool // foreign from the start
	unsafe  bool
	locked  *os.File
}

func (f *modelFile) isFree() bool {
	return f.open == nil && !f.pinned && !f.foreign && f.locked == nil
}

// isSafe reports whether a file may be removed for the limit on files.
func (f *modelFile) isSafe() bool { return f.isFree() && !f.unsafe }

// TestRetainProperty runs random operations under random policies. After each
// Retain the limits hold, as far as files may be removed; what was removed is
// the oldest, and not one file too many. What others plant changes nothing.
func TestRetainProperty(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		name := "c"
		if seed%3 == 0 {
			name = "%Y/%m%d/%H%M"
		}
		p := Policy{Packets: 1, NameTimeNum: 1 + rnd.IntN(2)}
		for p.Files == 0 && p.TotalBytes == 0 && p.Age == 0 {
			if rnd.IntN(2) == 0 {
				p.Files = 1 + rnd.IntN(8)
			}
			if rnd.IntN(2) == 0 {
				p.TotalBytes = 1 + uint64(rnd.IntN(20_000))
			}
			if rnd.IntN(3) == 0 {
				p.Age = time.Duration(1+rnd.IntN(20)) * time.Minute
			}
		}
		dir := t.TempDir()
		m := &model{t: t, rnd: rnd, name: filepath.Join(dir, name), p: p, now: start}
		m.s = open(t, m.name, p)
		for range 120 {
			m.step()
			if t.Failed() {
				t.Fatalf("seed %d, policy %+v", seed, p)
			}
		}
	}
}

func (m *model) step() {
	m.now = m.now.Add(time.Duration(1+m.rnd.IntN(120)) * time.Second)
	switch m.rnd.IntN(14) {
	case 0, 1, 2, 3:
		m.record()
	case 4:
		if f := m.any(func(f *modelFile) bool { return f.open == nil && !f.pinned }); f != nil {
			put(m.t, f.name+pinSuffix, "")
			f.pinned = true
		}
	case 5:
		if f := m.any(func(f *modelFile) bool { return f.pinned }); f != nil {
			m.must(os.Remove(f.name + pinSuffix))
			f.pinned = false
		}
	case 6:
		if f := m.any((*modelFile).isFree); f != nil {
			m.must(os.Remove(f.name))
			m.files = slices.DeleteFunc(m.files, func(g *modelFile) bool { return f == g })
		}
	case 7:
		m.lockOrUnlock()
	case 8:
		if f := m.any((*modelFile).isFree); f != nil && m.rnd.IntN(3) == 0 {
			put(m.t, f.name, strings.Repeat("?", f.size))
			f.foreign = true
		}
	case 9:
		m.restart()
	case 10:
		m.plant()
	case 11:
		m.saveOrNot()
	default:
		m.retain()
	}
}

func (m *model) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Error(err)
	}
}

func (m *model) any(is func(*modelFile) bool) *modelFile {
	var all []*modelFile
	for _, f := range m.files {
		if is(f) {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[m.rnd.IntN(len(all))]
}

// record ends the open file, if there is one, and mostly begins another.
func (m *model) record() {
	if m.rnd.IntN(2) == 0 {
		m.must(m.s.Prepare())
	}
	if f := m.any(func(f *modelFile) bool { return f.open != nil }); f != nil {
		f.size, f.last = 100+m.rnd.IntN(5000), m.now
		first := f.last.Add(-time.Millisecond)
		_, err := f.open.Write(content(first, f.last, f.size))
		m.must(errors.Join(err, f.open.Close()))
		m.s.Closed(f.open, uint64(f.size), Info{first.UnixNano(), f.last.UnixNano(), 1})
		f.open, f.file = nil, f.open
	}
	if m.rnd.IntN(4) > 0 {
		m.now = m.now.Add(time.Second)
		f := next(m.t, m.s, m.now)
		m.files = append(m.files, &modelFile{name: f.Name(), open: f})
	}
}

// plant puts something into the directory that only has a name of the series.
func (m *model) plant() {
	at := m.now.Add(time.Duration(m.rnd.IntN(100)-50) * time.Hour)
	name := m.s.names.name(at, uint64(m.rnd.IntN(maxNumber)), 0)
	f := &modelFile{name: filepath.Join(m.s.path, name), size: 1 + m.rnd.IntN(50_000), foreign: true, planted: true}
	if _, err := os.Lstat(f.name); err == nil {
		return
	}
	m.must(os.MkdirAll(filepath.Dir(f.name), 0o700))
	switch m.rnd.IntN(4) {
	case 0:
		m.must(syscall.Mkfifo(f.name, 0o600))
	case 1:
		m.must(os.WriteFile(f.name, content(at, at, f.size), 0o600))
		m.must(os.Chown(f.name, 12345, 12345))
	case 2:
		m.must(os.WriteFile(f.name, content(at, at, 100), 0o600))
		m.must(os.Truncate(f.name, 1<<40))
	default:
		m.must(os.WriteFile(f.name, []byte(strings.Repeat("?", f.size)), 0o600))
	}
	m.files = append(m.files, f)
}

// saveOrNot says of a file that it is not safe, or that it is after all.
func (m *model) saveOrNot() {
	f := m.any(func(f *modelFile) bool { return f.file != nil && !f.foreign })
	if f == nil {
		return
	}
	if f.unsafe = !f.unsafe; f.unsafe {
		m.s.Unsafe(f.file)
	} else {
		m.s.Safe(f.file)
	}
}

func (m *model) lockOrUnlock() {
	if f := m.any(func(f *modelFile) bool { return f.locked != nil }); f != nil {
		m.must(f.locked.Close())
		f.locked = nil
		return
	}
	if f := m.any((*modelFile).isFree); f != nil {
		file, err := os.Open(f.name)
		m.must(err)
		m.must(tryLock(file, syscall.LOCK_EX))
		f.locked = file
	}
}

// restart ends the process, in which an open file loses its lock and whatever
// has not been written.
func (m *model) restart() {
	for _, f := range m.files {
		if f.open != nil {
			m.must(f.open.Close())
			f.open, f.foreign = nil, true
		}
		f.file, f.unsafe = nil, false
	}
	m.must(m.s.Close())
	m.s = open(m.t, m.name, m.p)
}

func (m *model) retain() {
	var openBytes uint64
	for _, f := range m.files {
		if f.open != nil {
			openBytes = uint64(m.rnd.IntN(5000))
		}
	}
	run := retain
	if slices.ContainsFunc(m.files, func(f *modelFile) bool { return f.foreign }) {
		// After a dry run it is known, and no longer counts.
		run = func(_ testing.TB, s *Series, now time.Time, open uint64) ([]Removed, error) {
			return s.Retain(now, open, false)
		}
	}
	removed, err := run(m.t, m.s, m.now, openBytes)
	if err != nil && !errors.Is(err, ErrNothingLeft) {
		m.t.Error(err)
	}
	gone := make(map[string]string)
	for _, r := range removed {
		gone[r.Name] = r.Reason
	}
	var left, dead []*modelFile
	for _, f := range m.files {
		_, statErr := os.Lstat(f.name)
		reason, isGone := gone[f.name]
		if isGone != errors.Is(statErr, os.ErrNotExist) {
			m.t.Errorf("%s: told as removed: %t, but %v", f.name, isGone, statErr)
		}
		if !isGone {
			left = append(left, f)
			continue
		}
		dead = append(dead, f)
		if !f.isFree() {
			m.t.Errorf("%s was removed, which is %+v", f.name, f)
		}
		mayGo := (*modelFile).isFree
		if reason == "files" {
			mayGo = (*modelFile).isSafe
		}
		if !mayGo(f) {
			m.t.Errorf("%s was removed for %s, which is %+v", f.name, reason, f)
		}
		if reason != "age" && slices.ContainsFunc(left, mayGo) {
			m.t.Errorf("%s was removed for %s, but not the older %s", f.name, reason, left[0].name)
		}
	}
	m.files = left
	m.check(openBytes, err)
	m.checkNotTooMany(dead, gone, openBytes)
}

// sums are what the limits are about, of what Retain knows to be of the series.
func (m *model) sums(openBytes uint64) (count int, bytes uint64) {
	bytes = openBytes
	for _, f := range m.files {
		if f.foreign {
			continue
		}
		bytes += uint64(f.size)
		if !f.pinned && !f.unsafe {
			count++
		}
	}
	return count, bytes
}

func (m *model) check(openBytes uint64, err error) {
	count, bytes := m.sums(openBytes)
	hasFree := slices.ContainsFunc(m.files, (*modelFile).isFree)
	if m.p.Files > 0 && count > m.p.Files && slices.ContainsFunc(m.files, (*modelFile).isSafe) {
		m.t.Errorf("%d files are left", count)
	}
	isOver := m.p.TotalBytes > 0 && bytes > m.p.TotalBytes
	if isOver && hasFree {
		m.t.Errorf("%d bytes are left", bytes)
	}
	if isOver && !errors.Is(err, ErrNothingLeft) {
		m.t.Errorf("%d bytes are left, and Retain returned %v", bytes, err)
	}
	for _, f := range m.files {
		if m.p.Age > 0 && f.isFree() && m.now.Sub(f.last) > m.p.Age {
			m.t.Errorf("%s is left, %s old", f.name, m.now.Sub(f.last))
		}
	}
}

// checkNotTooMany: with the last file that was removed for a limit of the whole
// series, that limit would not hold. What is foreign may have counted.
func (m *model) checkNotTooMany(dead []*modelFile, reasons map[string]string, openBytes uint64) {
	if len(dead) == 0 {
		return
	}
	last := dead[len(dead)-1]
	count, bytes := m.sums(openBytes)
	for _, f := range m.files {
		if f.foreign && !f.planted && !f.pinned {
			count++
		}
		if f.foreign && !f.planted {
			bytes += uint64(f.size)
		}
	}
	switch reasons[last.name] {
	case "files":
		if count+1 <= m.p.Files {
			m.t.Errorf("%s was removed, with it there were %d files", last.name, count+1)
		}
	case "total":
		if bytes+uint64(last.size) <= m.p.TotalBytes {
			m.t.Errorf("%s was removed, with it there were %d bytes", last.name, bytes+uint64(last.size))
		}
	}
}
