package rotate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// serveHere serves a directory from a goroutine, as the helper does from a process, and
// returns the recorder's ends of the sockets. The server has to have ended well when the
// test has.
func serveHere(t *testing.T, c Config) (sockets []*os.File) {
	t.Helper()
	var theirs []*os.File
	for range HelperLanes {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, os.NewFile(uintptr(fds[0]), "ours"))
		theirs = append(theirs, os.NewFile(uintptr(fds[1]), "theirs"))
	}
	dir, err := os.Open(Dir(c.Name))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- ServeDirectory(theirs, dir, c) }()
	t.Cleanup(func() {
		for _, s := range sockets {
			s.Close()
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, s := range append(theirs, dir) {
			s.Close()
		}
	})
	return sockets
}

func openByHelper(t *testing.T, c Config) *Series {
	t.Helper()
	c.Helper = NewHelper(serveHere(t, c))
	s, err := OpenSeries(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSeriesByHelper does all that a recording does: names, folders, files that were
// prepared, removal, discarding, counting on.
func TestSeriesByHelper(t *testing.T) {
	for _, name := range []string{"a", "%Y/%m/%d-%H%M"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			owner := Owner{Set: true, UID: os.Geteuid(), GID: os.Getegid()}
			if os.Geteuid() == 0 {
				owner.UID, owner.GID = 4242, 4343
			}
			c := Config{Name: filepath.Join(dir, name), Suffix: testSuffix, Policy: Policy{Files: 2, Packets: 1}, Inspect: inspect, Owner: owner}
			s := openByHelper(t, c)
			if err := s.Prepare(); err != nil {
				t.Fatal(err)
			}
			names := record(t, s, 5, 100)
			if err := s.Prepare(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(names[1]+pinSuffix, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			removed, err := s.Retain(start, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			var gone []string
			for _, r := range removed {
				gone = append(gone, r.Name)
			}
			if want := []string{names[0], names[2]}; !slices.Equal(gone, want) {
				t.Errorf("removed %q, want %q", gone, want)
			}
			for _, name := range []string{names[1], names[3], names[4]} {
				var st unix.Stat_t
				if err := unix.Stat(name, &st); err != nil || st.Mode != unix.S_IFREG|0o600 || int(st.Uid) != owner.UID || int(st.Gid) != owner.GID {
					t.Errorf("%s: mode %o, owner %d:%d, %v", name, st.Mode, st.Uid, st.Gid, err)
				}
			}
			last := next(t, s, start.AddDate(1, 0, 0))
			if err := last.Discard(); err != nil {
				t.Error(err)
			}
			s.Discarded(last)
			if _, err := os.Stat(last.Name()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file that was discarded: %v", err)
			}
			again := openByHelper(t, c)
			if want := s.names.number(filepath.Base(names[4])); again.last != want {
				t.Errorf("the next run goes on after %d, want %d", again.last, want)
			}
			if free, size, err := again.dir.space(); err != nil || free == 0 || size < free {
				t.Errorf("free: %d of %d, %v", free, size, err)
			}
		})
	}
}

// asked sends a request as an intruder might, with a descriptor as well, and returns the
// answer.
func asked(t *testing.T, socket *os.File, request []byte, fd int) (errno unix.Errno, got int) {
	t.Helper()
	if err := send(socket, request, fd); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, answerLen)
	n, got, err := receive(socket, answer)
	if err != nil || n != answerLen {
		t.Fatalf("no answer to %q: %d bytes, %v", request, n, err)
	}
	return unix.Errno(binary.LittleEndian.Uint32(answer)), got
}

// TestHelperRefuses: an intruder in the recorder gets at nothing but the series.
func TestHelperRefuses(t *testing.T) {
	dir := t.TempDir()
	const number = "_00001_20261122161200" + testSuffix
	for name, what := range map[string]string{"other": "x", "sub/a" + number: "x", "b" + number: "x", "2026/01" + testSuffix: "x", "2027/other": "x"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700), os.WriteFile(filepath.Join(dir, name), []byte(what), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		os.Symlink("/etc/passwd", filepath.Join(dir, "a_00002_20261122161200"+testSuffix)),
		unix.Mkfifo(filepath.Join(dir, "a_00003_20261122161200"+testSuffix), 0o600),
		os.Symlink("/etc", filepath.Join(dir, "2028")),
		os.Symlink("sub", filepath.Join(dir, "2029")),
		os.Mkdir(filepath.Join(dir, "2030"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	numbered := serveHere(t, Config{Name: filepath.Join(dir, "a"), Suffix: testSuffix})[0]
	pattern := serveHere(t, Config{Name: filepath.Join(dir, "%Y/%m"), Suffix: testSuffix})[0]
	before := tree(t, dir)
	temporary := temporaryName()
	for _, c := range []struct {
		socket *os.File
		what   byte
		name   string
		want   unix.Errno
	}{
		{numbered, askOpen, "other", unix.EPERM},
		{numbered, askOpen, "../" + filepath.Base(dir) + "/a" + number, unix.EPERM},
		{numbered, askOpen, "sub/a" + number, unix.EPERM},
		{numbered, askOpen, "/etc/passwd", unix.EPERM},
		{numbered, askOpen, "", unix.EPERM},
		{numbered, askOpen, ".", unix.EPERM},
		{numbered, askOpen, "a_00002_20261122161200" + testSuffix, unix.ELOOP},
		{numbered, askOpen, "a_00003_20261122161200" + testSuffix, unix.EINVAL}, // and waits for nobody
		{numbered, askOpen, "a" + number + "\x00", unix.EPERM},
		{numbered, askStat, "other", unix.EPERM},
		{numbered, askStat, "..", unix.EPERM},
		{numbered, askRemove, "other", unix.EPERM},
		{numbered, askRemove, "b" + number, unix.EPERM},
		{numbered, askRemove, "a" + number + pinSuffix, unix.EPERM},
		{numbered, askRemove, ".", unix.EINVAL},
		{numbered, askRemove, "sub", unix.EPERM},
		{numbered, askCreate, "a" + number, unix.EPERM}, // before it has a header
		{numbered, askCreate, "../" + temporary, unix.EPERM},
		{numbered, askCreate, "sub/" + temporary, unix.EPERM},
		{numbered, askCreate, ".tunrec-x.new", unix.EPERM},
		{numbered, askRename, "a" + number, unix.EPERM},
		{numbered, askRename, "a" + number + "\x00", unix.EPERM},
		{numbered, askRename, "a" + number + "\x00other", unix.EPERM},
		{numbered, askRename, "other\x00" + temporary, unix.EPERM},
		{numbered, askRename, "a" + number + "\x00sub/" + temporary, unix.EPERM},
		{numbered, askRename, "a" + number + "\x00../" + temporary, unix.EPERM},
		{numbered, askRename, "a" + number + "\x00" + temporary, unix.ENOENT},
		{numbered, askLink, temporary, unix.EPERM},
		{numbered, askMkdir, "b", unix.EPERM},
		{numbered, askFolder, "..", unix.EPERM},
		{numbered, askFolder, "sub", unix.EPERM},
		{numbered, askLink, "a" + number, unix.ESTALE},
		{numbered, 0, "a" + number, unix.EPERM},
		{numbered, 255, "a" + number, unix.EPERM},
		{numbered, askOpen, strings.Repeat("a", maxRemoteName+1), unix.EBADMSG},
		{numbered, askOpen, strings.Repeat("a", 1<<16), unix.EBADMSG},
		{pattern, askOpen, "2028/passwd", unix.EPERM},
		{pattern, askOpen, "2028/01" + testSuffix, unix.ENOTDIR},
		{pattern, askCreate, "2029/" + temporary, unix.ENOTDIR},
		{pattern, askFolder, "2028", unix.ENOTDIR},
		{pattern, askFolder, "2026/01", unix.EPERM},
		{pattern, askCreate, "2026/../" + temporary, unix.EPERM},
		{pattern, askCreate, "2030/../2031/" + temporary, unix.EPERM},
		{pattern, askMkdir, "2029", unix.EEXIST},
		{pattern, askMkdir, "2030/01", unix.EPERM},
		{pattern, askMkdir, "20300", unix.EPERM},
		{pattern, askRemove, "2027", unix.ENOTEMPTY},
		{pattern, askRemove, "2028", unix.ENOTDIR}, // a link
		{pattern, askRemove, "2027/other", unix.EPERM},
	} {
		request := append(binary.LittleEndian.AppendUint64([]byte{c.what}, 1), c.name...)
		if errno, fd := asked(t, c.socket, request, int(c.socket.Fd())); errno != c.want || fd >= 0 {
			t.Errorf("%d of %.80q: %v and descriptor %d, want %v", c.what, c.name, errno, fd, c.want)
		}
	}
	for _, request := range [][]byte{{askFolder}, bytes.Repeat([]byte{0}, requestHead-1)} {
		if errno, _ := asked(t, numbered, request, -1); errno != unix.EBADMSG {
			t.Errorf("%q: %v", request, errno)
		}
	}
	if after := tree(t, dir); !slices.Equal(after, before) {
		t.Errorf("the directory has\n%q\nand had\n%q", after, before)
	}
}

// tree lists what is in a directory and below.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		names = append(names, name+" "+d.Type().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestHelperLetsUnnamedFilesGo: who asks for many has few.
func TestHelperLetsUnnamedFilesGo(t *testing.T) {
	dir := t.TempDir()
	r, err := openRemote(NewHelper(serveHere(t, Config{Name: filepath.Join(dir, "a"), Suffix: testSuffix})), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	var files []*os.File
	for range maxUnnamed + 1 {
		f, err := r.unnamed()
		if errors.Is(err, errors.ErrUnsupported) {
			t.Fatal("the tests need a file system with O_TMPFILE")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	const first, second = "a_00001_20261122161200" + testSuffix, "a_00002_20261122161200" + testSuffix
	if err := r.link(files[0], first); !errors.Is(err, unix.ESTALE) {
		t.Errorf("the oldest: %v", err)
	}
	if err := r.link(files[1], first); err != nil {
		t.Fatal(err)
	}
	if err := r.link(files[2], first); !errors.Is(err, os.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := r.link(files[2], second); err != nil {
		t.Fatal(err)
	}
}

// TestHelperWithoutUnnamedFiles: what such a file system has instead are temporary names.
func TestHelperWithoutUnnamedFiles(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "ramfs", "")
	s := openByHelper(t, Config{Name: filepath.Join(dir, "%Y/a-%m%d%H%M"), Suffix: testSuffix, Policy: Policy{Files: 2, Packets: 1}, Inspect: inspect})
	names := record(t, s, 3, 100)
	if _, err := s.Retain(start, 0, false); err != nil {
		t.Fatal(err)
	}
	if got, err := filepath.Glob(filepath.Join(dir, "2026/*")); err != nil || !slices.Equal(got, names[1:]) {
		t.Errorf("files %q, %v, want %q", got, err, names[1:])
	}
}

// TestHelperEnds: without it no file is made, and nobody waits for it.
func TestHelperEnds(t *testing.T) {
	dir := t.TempDir()
	c := Config{Name: filepath.Join(dir, "a"), Suffix: testSuffix}
	sockets := serveHere(t, c)
	c.Helper = NewHelper(sockets)
	s, err := OpenSeries(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, socket := range sockets {
		if err := unix.Shutdown(int(socket.Fd()), unix.SHUT_RDWR); err != nil {
			t.Fatal(err)
		}
	}
	for range HelperLanes + 1 {
		if _, err := s.Next(start); !errors.Is(err, errHelperGone) {
			t.Errorf("the next file: %v", err)
		}
	}
}
