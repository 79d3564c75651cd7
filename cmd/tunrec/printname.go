package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/tunrec/tunrec/internal/outlet"
	"github.com/tunrec/tunrec/internal/privilege"
	"github.com/tunrec/tunrec/rotate"
)

// openPrintName opens what -b printname names, and says whether somebody reads it. It
// is left to the end of the process to close it.
func (u *ui) openPrintName(to string, owner rotate.Owner) error {
	switch to {
	case "":
	case "stdout":
		u.names = newNames(os.Stdout, "standard output")
		u.names.Start()
	case "stderr":
		u.names = console
	default:
		probe, unread := probeReader(to)
		f, err := openNames(to, owner)
		if probe != nil { // not before: a reader that waited would see its end
			probe.Close()
		}
		if err != nil {
			return fmt.Errorf("-b printname: %w", err)
		}
		if unread {
			u.say("-b printname: nobody reads %s yet: names wait in it", to)
		}
		u.names = newNames(f, to)
		u.names.Start()
	}
	return nil
}

func newNames(f *os.File, name string) *outlet.Outlet {
	return outlet.New(f, func(n uint64) string {
		console.Send(line("-b printname: %s not printed to %s: nobody read them", numbered(n, "file name was", "file names were"), name))
		return ""
	})
}

// lostNames is how many names of files were not printed.
func (u *ui) lostNames() uint64 {
	if u.names == console {
		return 0 // they are among its messages
	}
	return u.names.Lost()
}

// openNames opens a file or FIFO for appending, and never waits for a FIFO's reader; a
// new file is the owner's. This is done as root, perhaps in a directory of others: no
// link leads elsewhere.
func openNames(name string, owner rotate.Owner) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	isNew := err == nil
	if errors.Is(err, fs.ErrExist) {
		// For reading, too: so a FIFO takes names before it has a reader, and keeps
		// them when that one goes (fifo(7)).
		f, err = os.OpenFile(name, os.O_RDWR|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	}
	if errors.Is(err, fs.ErrPermission) { // one may write, not read it
		f, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	}
	switch {
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EMLINK): // the latter on FreeBSD
		return nil, fmt.Errorf("%s is a symbolic link, which is not followed", name)
	case errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("nobody reads the FIFO %s, and names cannot wait in it without permission to read it, too", name)
	case err != nil:
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeNamedPipe:
		err = fmt.Errorf("%s is neither a regular file nor a FIFO", name)
	case isNew && owner.Set:
		err = f.Chown(owner.UID, owner.GID)
	case !isNew:
		err = notPlanted(name, info, owner)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// notPlanted refuses a file or FIFO that somebody else may have put there, in a
// directory such as /tmp: one of another user, or another name of some other file.
func notPlanted(name string, info fs.FileInfo, owner rotate.Owner) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	own := []int{0, os.Geteuid()}
	if owner.Set {
		own = append(own, owner.UID)
	}
	if caller, ok := privilege.Caller(); ok {
		own = append(own, caller.UID)
	}
	switch {
	case !slices.Contains(own, int(st.Uid)):
		return fmt.Errorf("%s belongs to user %d, who may have planted it: remove it, or have it made by who records", name, st.Uid)
	case info.Mode().IsRegular() && st.Nlink > 1:
		return fmt.Errorf("%s is a file that has another name, too: remove it", name)
	}
	return nil
}

// probeReader reports whether name is a FIFO that nobody has opened for reading. Else it
// returns the FIFO, opened for writing.
func probeReader(name string) (probe *os.File, unread bool) {
	if info, err := os.Lstat(name); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		return nil, false
	}
	f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, errors.Is(err, syscall.ENXIO)
	}
	return f, false
}
