package rotate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"time"
)

// Removed is a file that Retain removed, or would have.
type Removed struct {
	Name   string // its directory as the user wrote it
	Bytes  uint64
	Reason string // "files", "total", "age" or "minfree": the key of the limit
}

// ErrNothingLeft: total or minfree cannot be reached, because no file is left
// that may be removed.
var ErrNothingLeft = errors.New("no file is left that may be removed")

// Retain removes complete files of the series, one at a time and the oldest
// recorded first (by number; files of a pattern by their first packet), until
// the limits of the policy hold. open is how many bytes the open files have or
// are about to have; now is what ages are reckoned from. With dryRun nothing
// is removed.
//
// Only the series' own files count or are removed: those that belong to the user who
// makes its files, and that Recognize knows. Others are let be (Config.LetBe). It
// never removes a file that is open, here or in another process, nor one that Inspect
// does not know, nor one with a file NAME.keep beside it. Pinned files count for
// total, not for files, and neither do those that are not safe (see Unsafe).
//
// Of files that are new in the directory a few are looked into at a time.
//
// It goes on after an error. All errors are returned together at the end, with
// ErrNothingLeft where total or minfree could not be reached.
func (s *Series) Retain(now time.Time, open uint64, dryRun bool) ([]Removed, error) {
	if !s.config.Policy.removes() {
		return nil, nil
	}
	s.retaining.Lock()
	defer s.retaining.Unlock()

	r := retention{Series: s, dir: s.current(), now: now, openBytes: open, dryRun: dryRun, lastNumber: s.lastNumber()}
	entries, err := r.prepare()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if reason := r.reason(e); reason != "" {
			r.remove(e, reason)
		}
	}
	if !dryRun {
		r.fail(s.sync())
	}
	r.fail(r.unreached())
	return r.removed, errors.Join(r.errs...)
}

// retention is one run of Retain.
type retention struct {
	*Series
	dir       filesystem
	now       time.Time
	openBytes uint64
	dryRun    bool

	lastNumber uint64 // that was given

	files   int    // that count, the open ones with them
	bytes   uint64 // of all files, the open ones with them
	free    uint64 // bytes in the file system
	hasFree bool   // free is known
	removed []Removed
	errs    []error
}

func (r *retention) fail(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// prepare counts, and returns the files that may be removed, oldest first.
func (r *retention) prepare() ([]*entry, error) {
	entries, open, err := r.survey()
	if err != nil {
		return nil, err
	}
	r.files, r.bytes = open, r.openBytes
	entries = slices.DeleteFunc(entries, func(e *entry) bool {
		if e.ignored {
			return true
		}
		r.bytes += e.size
		if !e.pinned && !e.unsafe {
			r.files++
		}
		return e.pinned
	})
	r.measureFree(0)
	if r.limit() == "" && r.config.Policy.Age == 0 {
		return nil, nil
	}
	if _, isPattern := r.names.(*pattern); isPattern {
		for _, e := range entries {
			r.look(e)
		}
		entries = slices.DeleteFunc(entries, func(e *entry) bool { return e.info == nil })
	}
	slices.SortFunc(entries, r.older)
	return entries, nil
}

// older orders by number, and where there are none by first packet.
func (r *retention) older(a, b *entry) int {
	byNumber := compareNumbers(a.number, b.number, r.lastNumber)
	if byNumber == 0 && a.info != nil && b.info != nil {
		byNumber = cmp.Compare(a.first(), b.first())
	}
	return cmp.Or(byNumber, cmp.Compare(a.name, b.name))
}

// limit is the first limit of the whole series that does not hold, or "".
func (r *retention) limit() string {
	if r.tooMany() {
		return "files"
	}
	return r.limitOfBytes()
}

func (r *retention) tooMany() bool { p := r.config.Policy; return p.Files > 0 && r.files > p.Files }

func (r *retention) limitOfBytes() string {
	switch {
	case r.overTotal():
		return "total"
	case r.lowOnSpace():
		return "minfree"
	}
	return ""
}

func (r *retention) overTotal() bool {
	total := r.config.Policy.TotalBytes
	return total > 0 && r.bytes > total
}

func (r *retention) lowOnSpace() bool { return r.hasFree && r.free < r.config.Policy.MinFree }

// reason tells why a file has to go, or "".
func (r *retention) reason(e *entry) string {
	if r.tooMany() && !e.unsafe {
		return "files"
	}
	if limit := r.limitOfBytes(); limit != "" {
		return limit
	}
	if age := r.config.Policy.Age; age > 0 {
		r.look(e)
		if e.info != nil && r.now.Sub(time.Unix(0, e.latest())) > age {
			return "age"
		}
	}
	return ""
}

// look finds out about the packets in a file, if that is not known yet.
func (r *retention) look(e *entry) {
	if e.info != nil || e.ignored {
		return
	}
	if f := r.openEntry(e); f != nil {
		r.inspect(e, f)
		f.Close()
	}
}

// openEntry opens a file, or returns nil, in which case that was dealt with.
func (r *retention) openEntry(e *entry) *os.File {
	f, err := r.dir.open(e.name)
	if errors.Is(err, fs.ErrNotExist) {
		r.uncount(e) // someone else removed it
		e.ignored = true
		return nil
	}
	if err != nil {
		r.cannot("look into", e, err)
		return nil
	}
	return f
}

// cannot deals with an error about a file. One for want of permission must not
// stop the recording, nor may newer files go in the place of this one.
func (r *retention) cannot(do string, e *entry, err error) {
	if r.isForbidden(e.name, err) {
		r.uncount(e)
		return
	}
	r.fail(fmt.Errorf("%s %s: %w", do, r.shown(e.name), err))
}

// inspect looks into an open file anew: it may be another by now.
func (r *retention) inspect(e *entry, f *os.File) {
	info, err := f.Stat()
	if err == nil {
		err = r.plausible(info)
	}
	if err == nil {
		err = r.recognize(f)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	var i Info
	if err == nil {
		e.changed = info.ModTime().UnixNano()
		i, err = r.config.Inspect(f)
	}
	if err != nil {
		r.letBe(e.name, err)
		r.uncount(e)
		e.ignored = true
		return
	}
	e.info = &i
}

// remove removes a file, unless there is a reason to let it be.
func (r *retention) remove(e *entry, reason string) {
	f := r.openEntry(e)
	if f == nil {
		return
	}
	defer f.Close()
	// A shared lock, because NFS gives no other on what is open for reading.
	if err := tryLock(f, syscall.LOCK_SH); errors.Is(err, errLocked) {
		return
	}
	switch _, err := r.dir.lstat(e.name + pinSuffix); {
	case err == nil:
		r.pinned(e)
		return
	case !errors.Is(err, fs.ErrNotExist):
		r.fail(fmt.Errorf("look for %s: %w", r.shown(e.name+pinSuffix), err))
		return
	}
	if r.inspect(e, f); e.ignored {
		return
	}
	if !r.dryRun {
		// What has taken its place since it was opened stays.
		if err := removeSame(r.dir, &File{File: f}, e.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.cannot("remove", e, err)
			return
		}
		r.removeFolders(path.Dir(e.name))
	}
	r.uncount(e)
	r.measureFree(e.size)
	r.removed = append(r.removed, Removed{r.shown(e.name), e.size, reason})
}

// removeFolders removes folders that a pattern has made, from folder upwards,
// as far as they are empty.
func (r *retention) removeFolders(folder string) {
	r.touch(folder)
	for folder != "." {
		info, err := r.dir.lstat(folder)
		if err != nil || !info.IsDir() || r.dir.remove(folder) != nil {
			return
		}
		folder = path.Dir(folder)
		r.touch(folder)
	}
}

// pinned takes a file that was pinned since the directory was listed off the sum.
func (r *retention) pinned(e *entry) {
	if !e.unsafe {
		r.files--
	}
}

// uncount takes a file that counted off the sums.
func (r *retention) uncount(e *entry) {
	r.pinned(e)
	r.bytes -= e.size
}

// measureFree measures what is free after a file of size bytes was removed.
// The file system is believed to have freed them, even where it does so later
// (btrfs, a file that is open elsewhere): else everything would be removed for
// the space of one.
func (r *retention) measureFree(size uint64) {
	if r.config.Policy.MinFree == 0 {
		return
	}
	r.free += size
	if r.dryRun && size > 0 {
		return
	}
	free, _, err := r.dir.space()
	if err != nil {
		r.fail(err)
		return
	}
	r.hasFree = true
	r.free = max(r.free, free)
}

func (r *retention) unreached() error {
	p := r.config.Policy
	switch {
	case r.overTotal():
		return fmt.Errorf("%d bytes of %s are more than total (%d): %w", r.bytes, r.path, p.TotalBytes, ErrNothingLeft)
	case r.lowOnSpace():
		return fmt.Errorf("%d bytes free at %s are less than minfree (%d): %w", r.free, r.path, p.MinFree, ErrNothingLeft)
	}
	return nil
}
