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
	become      privilege.User // chosen by chooseUser
	hookDirs    []string
}

func (o *options) parsePrivileges(c *cli.Context) error {
	id := &o.identity
	id.keep, id.hookDirs = c.Bool("keep-root"), c.StringSlice("hook-dir")
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

// directory is where files are made; "" for standard output.
func (o *options) directory() string {
	if o.output.form == capfile.Stream {
		return ""
	}
	return rotate.Dir(o.output.name)
}

// chooseUser decides, before anything is made, whom to become and who the files
// belong to, and that they can make them. One file is made before root is given
// up, so it may stand where only root can make it.
func (o *options) chooseUser() (err error) {
	id, dir, owner := &o.identity, o.directory(), callersOwn()
	switch {
	case !o.drops():
		o.create.Owner = owner
	case id.user != nil:
		id.become = *id.user
		err = canWrite(id.become, dir)
	case id.owner != nil:
		id.become = *id.owner
		if !o.series() {
			dir = ""
		}
		err = canWrite(id.become, dir)
	case o.series():
		id.become, err = privilege.Choose([]string{dir})
	case owner.Set || dir == "":
		id.become, _ = privilege.Choose(nil)
	default:
		id.become, _ = privilege.Choose([]string{dir})
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return o.cannotWrite(err)
	}
	if id.become != (privilege.User{}) {
		o.create.Owner = ownedBy(id.become)
	}
	if id.owner != nil {
		o.create.Owner = ownedBy(*id.owner)
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

// canWrite also tells whether this process may become u.
func canWrite(u privilege.User, dir string) error {
	if dir == "" {
		return privilege.CanWrite(u)
	}
	return privilege.CanWrite(u, dir)
}

func (o *options) cannotWrite(err error) error {
	u, dir := o.identity.become, o.directory()
	switch {
	case errors.Is(err, fs.ErrNotExist), os.Geteuid() != 0 && u == privilege.User{}:
		return createError(err, o.output.name)
	case os.Geteuid() != 0:
		return hinted(err, privilegeHint())
	case u == privilege.User{}:
		return hinted(err, "choose with --user who can, or --keep-root")
	}
	return hinted(err, fmt.Sprintf("chown %d:%d %s, or --keep-root", u.UID, u.GID, dir))
}

// dropPrivileges leaves what the rest of the recording needs: what is open, the
// directory of its files, and all that a hook may read.
func (o *options) dropPrivileges(ui *ui) error {
	if !o.drops() {
		return nil
	}
	c := privilege.Config{User: o.identity.become}
	if dir := o.directory(); dir != "" {
		c.Dirs = []string{dir}
	}
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
