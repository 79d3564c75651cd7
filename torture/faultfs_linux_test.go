package torture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// op is what a file system is asked for.
type op int

const (
	opWrite op = iota
	opFsync
	opClose
	opCreate
	opRename
	opLink
	opTruncate
	opUnlink
	ops
)

// fault is what happens at an operation. The zero value: nothing.
type fault struct {
	errno syscall.Errno
	delay time.Duration // before it is done, or fails
	torn  bool          // a write fails, but half of it is in the file
	short bool          // a write takes half of what it is given
	times int           // how often; 0: from now on
}

// faultFS shows a folder through FUSE, with faults.
type faultFS struct {
	root  string // the folder behind it
	mount string // where recorders see it
	named bool   // no O_TMPFILE; set it before anything is recorded

	mu      sync.Mutex
	faults  [ops]fault
	asked   [ops]int // operations so far, faulty ones, too
	durable *durable // nil: nobody pulls the plug
}

// set has a fault happen from now on, and returns how often its operation was asked
// for before.
func (f *faultFS) set(o op, what fault) (asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[o] = what
	return f.asked[o]
}

// heal ends all faults.
func (f *faultFS) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = [ops]fault{}
}

// times returns how often an operation was asked for.
func (f *faultFS) times(o op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[o]
}

// hit says what happens now, and waits as long as it is to take.
func (f *faultFS) hit(o op) fault {
	f.mu.Lock()
	f.asked[o]++
	now := f.faults[o]
	if now.times > 0 {
		if f.faults[o].times--; f.faults[o].times == 0 {
			f.faults[o] = fault{}
		}
	}
	f.mu.Unlock()
	time.Sleep(now.delay)
	return now
}

// faulty mounts a folder through FUSE, in the try's own mount namespace.
func (g *rig) faulty() *faultFS {
	g.t.Helper()
	f := &faultFS{root: g.folder("behind"), mount: g.folder("fuse")}
	base, err := fs.NewLoopbackRoot(f.root)
	g.must(err)
	zero := time.Duration(0)
	opts := &fs.Options{EntryTimeout: &zero, AttrTimeout: &zero, NegativeTimeout: &zero}
	opts.MountOptions = fuse.MountOptions{
		DirectMountStrict: true, AllowOther: true, MaxWrite: 1 << 20, Name: "torture", FsName: "torture",
		Options: []string{"default_permissions"},
	}
	server, err := fs.Mount(f.mount, &node{LoopbackNode: base.(*fs.LoopbackNode), f: f}, opts)
	g.must(err)
	g.later(func() {
		f.heal()
		unix.Unmount(f.mount, unix.MNT_DETACH)
		server.Wait()
	})
	return f
}

// node is a file or folder of a faultFS.
type node struct {
	*fs.LoopbackNode
	f       *faultFS
	unnamed *fs.LoopbackFile // of O_TMPFILE
}

func (n *node) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: ops.(*fs.LoopbackNode), f: n.f}
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if e := n.f.hit(opCreate).errno; e != 0 {
		return nil, nil, 0, e
	}
	ch, fh, fuseFlags, e := n.LoopbackNode.Create(ctx, name, flags&^syscall.O_DIRECT, mode, out)
	if e != 0 {
		return nil, nil, 0, e
	}
	return ch, &file{fh.(*fs.LoopbackFile), n.f}, fuseFlags, 0
}

// Tmpfile makes a file without a name (O_TMPFILE), which Link names.
func (n *node) Tmpfile(ctx context.Context, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if n.f.named {
		return nil, nil, 0, syscall.EOPNOTSUPP
	}
	if e := n.f.hit(opCreate).errno; e != 0 {
		return nil, nil, 0, e
	}
	fd, err := unix.Open(n.f.root, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, nil, 0, fs.ToErrno(err)
	}
	if caller, ok := fuse.FromContext(ctx); ok {
		err = unix.Fchown(fd, int(caller.Uid), int(caller.Gid))
	}
	again, dupErr := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	var st syscall.Stat_t
	var x unix.Statx_t
	err = errors.Join(err, dupErr, syscall.Fstat(fd, &st), unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &x))
	if err != nil {
		unix.Close(fd)
		return nil, nil, 0, syscall.EIO
	}
	out.FromStat(&st)
	// The identity that a loopback gives it when it has a name.
	id := fs.StableAttr{Mode: st.Mode, Ino: st.Ino, Gen: uint64(x.Btime.Sec)*1e9 + uint64(x.Btime.Nsec)}
	ch := n.NewInode(ctx, &fs.LoopbackNode{RootData: n.RootData}, id)
	ch.Operations().(*node).unnamed = fs.NewLoopbackFile(again).(*fs.LoopbackFile)
	return ch, &file{fs.NewLoopbackFile(fd).(*fs.LoopbackFile), n.f}, 0, 0
}

// Getattr asks the open file of one that has, or had, no name.
func (n *node) Getattr(ctx context.Context, fh fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if n.unnamed != nil {
		fh = n.unnamed
	}
	return n.LoopbackNode.Getattr(ctx, fh, out)
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	fh, fuseFlags, e := n.LoopbackNode.Open(ctx, flags&^syscall.O_DIRECT)
	if e != 0 {
		return nil, 0, e
	}
	return &file{fh.(*fs.LoopbackFile), n.f}, fuseFlags, 0
}

func (n *node) Rename(ctx context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if e := n.f.hit(opRename).errno; e != 0 {
		return e
	}
	return n.LoopbackNode.Rename(ctx, name, to, newName, flags)
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if e := n.f.hit(opLink).errno; e != 0 {
		return nil, e
	}
	from, ok := target.(*node)
	if !ok || from.unnamed == nil {
		return n.LoopbackNode.Link(ctx, target, name, out)
	}
	fd, _ := from.unnamed.PassthroughFd()
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, filepath.Join(n.f.root, name), unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return nil, fs.ToErrno(err)
	}
	var attr fuse.AttrOut
	if e := from.unnamed.Getattr(ctx, &attr); e != 0 {
		return nil, e
	}
	out.Attr = attr.Attr
	return from.EmbeddedInode(), 0
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if e := n.f.hit(opUnlink).errno; e != 0 {
		return e
	}
	return n.LoopbackNode.Unlink(ctx, name)
}

func (n *node) Setattr(ctx context.Context, fh fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if _, ok := in.GetSize(); ok {
		if e := n.f.hit(opTruncate).errno; e != 0 {
			return e
		}
	}
	if n.unnamed != nil {
		fh = n.unnamed
	}
	return n.LoopbackNode.Setattr(ctx, fh, in, out)
}

// Fsync is that of a folder: a file answers for itself.
func (n *node) Fsync(_ context.Context, fh fs.FileHandle, flags uint32) syscall.Errno {
	if one, ok := fh.(*file); ok {
		return one.Fsync(context.Background(), flags)
	}
	if e := n.f.hit(opFsync).errno; e != 0 {
		return e
	}
	if n.f.durable != nil {
		n.f.durable.commit()
	}
	return 0
}

// file is an open file of a faultFS.
type file struct {
	back *fs.LoopbackFile
	f    *faultFS
}

func (o *file) Read(ctx context.Context, b []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	return o.back.Read(ctx, b, at)
}

func (o *file) Write(ctx context.Context, b []byte, at int64) (uint32, syscall.Errno) {
	what := o.f.hit(opWrite)
	if what.torn || what.short && len(b) > 1 {
		b = b[:len(b)/2]
	}
	if what.errno != 0 && !what.torn {
		return 0, what.errno
	}
	n, e := o.back.Write(ctx, b, at)
	if what.errno != 0 {
		return 0, what.errno
	}
	return n, e
}

func (o *file) Flush(ctx context.Context) syscall.Errno {
	if e := o.f.hit(opClose).errno; e != 0 {
		return e
	}
	return o.back.Flush(ctx)
}

// Fsync syncs nothing: what counts as synced is kept by durable.
func (o *file) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	if e := o.f.hit(opFsync).errno; e != 0 {
		return e
	}
	if o.f.durable == nil {
		return 0
	}
	var attr fuse.AttrOut
	if e := o.back.Getattr(ctx, &attr); e != 0 {
		return e
	}
	fd, _ := o.back.PassthroughFd()
	o.f.durable.sync(attr.Ino, fd)
	return 0
}

func (o *file) Release(ctx context.Context) syscall.Errno { return o.back.Release(ctx) }

func (o *file) Getattr(ctx context.Context, out *fuse.AttrOut) syscall.Errno {
	return o.back.Getattr(ctx, out)
}

func (o *file) Setattr(ctx context.Context, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return o.back.Setattr(ctx, in, out)
}

func (o *file) Allocate(ctx context.Context, at, n uint64, mode uint32) syscall.Errno {
	return o.back.Allocate(ctx, at, n, mode)
}

func (o *file) Lseek(ctx context.Context, at uint64, whence uint32) (uint64, syscall.Errno) {
	return o.back.Lseek(ctx, at, whence)
}
