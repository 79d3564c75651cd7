package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/internal/privilege"
	"github.com/tunrec/tunrec/rotate"
)

// identity is whom a recording runs as once everything is open.
type identity struct {
	keep        bool // --keep-root
	user, owner *privilege.User
	hookDirs    []string

	// What chooseUser decides.
	become privilege.User
	byRoot bool   // root makes the files, as nobody else can
	name   string // of whom the recording runs as
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
	case id.owner != nil && id.owner.UID != 0:
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
	case len(id.hookDirs) > 0 && o.hook == nil:
		return errors.New("--hook-dir is about the hook: it needs --hook")
	}
	for _, dir := range id.hookDirs {
		if !isDirectory(dir) {
			return fmt.Errorf("--hook-dir %s: is no directory", dir)
		}
	}
	return nil
}

// dirs are where files are made: none for standard output.
func (o *options) dirs() []string {
	if o.output.form == capfile.Stream {
		return nil
	}
	return []string{rotate.Dir(o.output.name)}
}

// chooseUser decides, before anything is made, whom to become and who the files
// belong to, and that they can be made.
func (o *options) chooseUser() error {
	id := &o.identity
	if id.keep {
		o.create.Owner = callersOwn()
	} else if err := o.chooseOther(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return o.cannot(err)
	}
	if id.owner != nil {
		o.create.Owner = ownedBy(*id.owner)
	}
	if o.hook != nil {
		o.hook.Env = privilege.Environ(id.become)
	}
	id.name = privilege.Name(id.become)
	if id.keep {
		id.name += " with all privileges"
	}
	return nil
}

// chooseOther chooses whom to become. What that one cannot make in the directory, root
// makes: one file, before it is given up, and by a helper the files of a series. They
// remain root's, unless --user says otherwise, or a hook has to read them.
func (o *options) chooseOther() error {
	id, mustWrite := &o.identity, o.dirs()
	given := id.owner != nil || callersOwn().Set
	if !o.series() && o.hook == nil && given && id.user == nil {
		mustWrite = nil // one file is made and given away by root
	}
	err := id.choose(mustWrite)
	if becomeErr := privilege.CanWrite(id.become); becomeErr != nil {
		return becomeErr
	}
	switch rootErr := privilege.CanWrite(privilege.User{}, mustWrite...); {
	case o.series() && id.owner != nil && id.owner.UID == 0:
		id.byRoot, err = true, rootErr
	case err == nil:
	case !o.series() && id.user == nil && id.owner == nil:
		id.byRoot, err = os.Geteuid() == 0, nil // if not even that works, it is told then
	case o.series() && helpers && os.Geteuid() == 0:
		id.byRoot, err = true, rootErr
	}
	if err == nil && o.hook != nil {
		err = o.canHook()
	}
	if !id.byRoot || id.user != nil || o.hook != nil {
		if id.become != (privilege.User{}) {
			o.create.Owner = ownedBy(id.become)
		}
	}
	return err
}

// canHook tells, by an error, whether the hook can be run, and reach what it is for.
func (o *options) canHook() error {
	u := o.identity.become
	if err := privilege.CanRun(u, o.hook.Argv[0]); err != nil {
		return err
	}
	reach := privilege.CanReachToWrite
	if o.identity.byRoot {
		reach = privilege.CanReach
	}
	return errors.Join(reach(u, o.dirs()...), privilege.CanReachToWrite(u, o.identity.hookDirs...))
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
	case privilege.CanWrite(u) != nil:
		return hinted(err, "choose another with --user, or --keep-root")
	}
	return hinted(err, "choose with --user who can, let them with "+chown(rotate.Dir(o.output.name))+" or chmod, or --keep-root")
}

// dropPrivileges leaves what the rest of the recording needs: what is open, and, where
// no helper does so, making files in the directory of a series.
func (o *options) dropPrivileges(ui *ui) error {
	if o.identity.keep {
		return nil
	}
	c := privilege.Config{User: o.identity.become, Calls: privilege.UseOpen}
	if o.series() && !o.identity.byRoot {
		c.Dirs, c.Calls = o.dirs(), privilege.MakeFiles
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
