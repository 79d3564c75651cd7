package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// User is whom the process becomes, without any further groups. The zero User
// is whoever it is already.
type User struct {
	Name     string
	UID, GID int
}

// String returns the name.
func (u User) String() string {
	switch {
	case u.Name != "":
		return u.Name
	case u.UID != 0:
		return "user " + strconv.Itoa(u.UID)
	case os.Geteuid() == 0:
		return "root without its capabilities"
	default:
		return "this user"
	}
}

// ParseUser reads USER[:GROUP], names or numbers; the group is else the user's
// own. root is refused: that is no one to drop to.
func ParseUser(s string) (User, error) {
	name, group, hasGroup := strings.Cut(s, ":")
	account, err := user.Lookup(name)
	if err != nil {
		account, err = user.LookupId(name)
	}
	if err != nil {
		return User{}, fmt.Errorf("user %s: there is no user %q", s, name)
	}
	gid := account.Gid
	if hasGroup {
		g, err := user.LookupGroup(group)
		if err != nil {
			g, err = user.LookupGroupId(group)
		}
		if err != nil {
			return User{}, fmt.Errorf("user %s: there is no group %q", s, group)
		}
		gid = g.Gid
	}
	u := User{Name: account.Username}
	var uidErr, gidErr error
	u.UID, uidErr = strconv.Atoi(account.Uid)
	u.GID, gidErr = strconv.Atoi(gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return User{}, fmt.Errorf("user %s: %w", s, err)
	}
	if u.UID == 0 {
		return User{}, fmt.Errorf("user %s: is root, to whom no privilege can be given up", s)
	}
	return u, nil
}

// Choose returns whom to become when no user was named: the user who called
// sudo, else nobody, whichever is the first that can write in all of dirs; else
// the zero User, who may still lose all capabilities. The error says that not
// even that one could write.
func Choose(dirs []string) (User, error) {
	for _, u := range candidates() {
		if canWriteAll(u, dirs) == nil {
			return u, nil
		}
	}
	return User{}, canWriteAll(User{}, dirs)
}

func candidates() []User {
	var all []User
	if os.Geteuid() != 0 {
		return nil // nobody else than root can become another
	}
	uid, uidErr := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, gidErr := strconv.Atoi(os.Getenv("SUDO_GID"))
	if uidErr == nil && gidErr == nil && uid > 0 {
		all = append(all, User{os.Getenv("SUDO_USER"), uid, gid})
	}
	if nobody, err := ParseUser("nobody"); err == nil {
		all = append(all, nobody)
	}
	return all
}

func canWriteAll(u User, dirs []string) error {
	for _, dir := range dirs {
		if err := CanWrite(u, dir); err != nil {
			return err
		}
	}
	if len(dirs) == 0 && u != (User{}) {
		return canBecome(u)
	}
	return nil
}
