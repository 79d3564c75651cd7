package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/internal/privilege"
	"github.com/tunrec/tunrec/rotate"
)

// identity is whom a recording runs as once everything is open.
type identity struct {
	keep        bool // --keep-root
	user, owner *privilege.User
	become      privilege.User // chosen by chooseUser
	hookDirs    []string
}

// parse reads --user and --owner.
func (id *identity) parse(c *cli.Context) error {
	if c.IsSet("user") {
		u, err := privilege.ParseUser(c.String("user"))
		if err != nil {
			return fmt.Errorf("--%w", err)
		}
		id.user = &u
	}
	if s := c.String("owner"); c.IsSet("owner") {
		u, err := privilege.LookupUser(s)
		if err != nil {
			return fmt.Errorf("--owner %s: %w", s, err)
		}
		id.owner = &u
	}
	return nil
}

// choose sets whom to become, and tells whether that one can write in dirs.
func (id *identity) choose(dirs []string) (err error) {
	switch {
	case id.user != nil:
		id.become = *id.user
	case id.owner != nil:
		id.become = *id.owner
	default:
		id.become, err = privilege.Choose(dirs)
		return err
	}
	return privilege.CanWrite(id.become, dirs...)
}

func (o *options) parsePrivileges(c *cli.Context) error {
	id := &o.identity
	id.keep, id.hookDirs = c.Bool("keep-root"), c.StringSlice("hook-dir")
	if err := id.parse(c); err != nil {
		return err
	}
	switch {
	case id.keep && id.user != nil:
		return errors.New("--keep-root and --user contradict each other")
	case o.series() && id.user != nil && id.owner != nil && *id.user != *id.owner:
		return errors.New("--owner: the files of a series belong to --user, who makes them")
	case len(id.hookDirs) > 0 && o.files.Hook == nil:
		return errors.New("--hook-dir is about the hook: it needs --hook")
	}
	for _, dir := range id.hookDirs {
		if !isDirectory(dir) {
			return fmt.Errorf("--hook-dir %s: is no directory", dir)
		}
	}
	return nil
}

// drops tells whether there are privileges to give up. Without a device there
// are only those of root.
func (o *options) drops() bool {
	return !o.identity.keep && (o.replay == "" || os.Geteuid() == 0 || o.identity.user != nil)
}

// dirs are where files are made: none for standard output.
func (o *options) dirs() []string {
	if o.output.form == capfile.Stream {
		return nil
	}
	return []string{rotate.Dir(o.output.name)}
}

// chooseUser decides, before anything is made, whom to become and who the files
// belong to, and that they can make them.
func (o *options) chooseUser() (err error) {
	id, caller := &o.identity, callersOwn()
	mustWrite := o.dirs()
	hook := o.files.Hook
	if !o.series() && hook == nil && (id.owner != nil || caller.Set) && id.user == nil {
		mustWrite = nil // one file is made and given away by root
	}
	if !o.drops() {
		o.create.Owner = caller
	} else if err = id.choose(mustWrite); id.user == nil && id.owner == nil && !o.series() {
		err = nil // who cannot even make the one file is told then
	}
	if err == nil && o.drops() && hook != nil {
		if err = privilege.CanRun(id.become, hook.Argv[0]); err == nil {
			err = privilege.CanReach(id.become, slices.Concat(o.dirs(), id.hookDirs)...)
		}
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return o.cannot(err)
	}
	if id.become != (privilege.User{}) {
		o.create.Owner = ownedBy(id.become)
	}
	if id.owner != nil {
		o.create.Owner = ownedBy(*id.owner)
	}
	if hook != nil {
		hook.Env = privilege.Environ(id.become)
	}
	return nil
}

func ownedBy(u privilege.User) rotate.Owner {
	return rotate.Owner{Set: true, UID: u.UID, GID: u.GID}
}

// callersOwn gives new files to the user who called sudo, where one did.
func callersOwn() rotate.Owner {
	if caller, ok := privilege.Caller(); ok {
		return ownedBy(caller)
	}
	return rotate.Owner{}
}

// cannot says what to do about err, of the user who was chosen.
func (o *options) cannot(err error) error {
	u := o.identity.become
	switch isRoot := os.Geteuid() == 0; {
	case errors.Is(err, fs.ErrNotExist):
		return createError(err, o.output.name)
	case !isRoot && u == privilege.User{}:
		return hinted(err, "choose another -o")
	case !isRoot:
		return hinted(err, privilegeHint())
	}
	return hinted(err, "choose with --user who can, let them with "+chown(rotate.Dir(o.output.name))+" or chmod, or --keep-root")
}

// dropPrivileges leaves what the rest of the recording needs: what is open, the
// directory of its files, and all that a hook may read.
func (o *options) dropPrivileges(ui *ui) error {
	if !o.drops() {
		return nil
	}
	c := privilege.Config{User: o.identity.become, Dirs: o.dirs()}
	if o.files.Hook != nil {
		c.Dirs, c.Read = append(c.Dirs, o.identity.hookDirs...), []string{"/"}
	}
	did, lacks, err := privilege.Drop(c)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		lacks = err.Error()
	case err != nil:
		return hinted(err, "--keep-root goes on without that")
	}
	if ui.verbose && did != "" {
		ui.say("%s", did)
	}
	if lacks != "" {
		ui.say("%s", lacks)
	}
	return nil
}
