package privilege

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/user"
	"slices"
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
	case os.Geteuid() == 0 && isRoot():
		return "root without its capabilities"
	case os.Geteuid() == 0:
		return "root of a user namespace, without capabilities"
	default:
		return "this user"
	}
}

// Name returns the name of u, or of whoever this process is.
func Name(u User) string {
	if u != (User{}) || os.Geteuid() == 0 && !isRoot() {
		return u.String()
	}
	if me, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		return me.Username
	}
	return User{UID: os.Geteuid()}.String()
}

// ParseUser is LookupUser for whom to drop to: root is refused.
func ParseUser(s string) (User, error) {
	u, err := LookupUser(s)
	if err == nil && u.UID == 0 {
		u, err = User{}, errors.New("is root, to whom no privilege can be given up")
	}
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", s, err)
	}
	return u, nil
}

// LookupUser reads USER[:GROUP], names or numbers; the group is else the user's
// own. UID:GID need not be in the machine's list of users: a container has few.
func LookupUser(s string) (User, error) {
	name, group, hasGroup := strings.Cut(s, ":")
	u, err := lookupAccount(name)
	uid, idErr := parseID(name)
	switch {
	case err != nil && idErr == nil && hasGroup:
		u = User{UID: uid}
	case err != nil && idErr == nil:
		return User{}, fmt.Errorf("%w: with a number write its group, too, as in %d:%d", err, uid, uid)
	case err != nil || !hasGroup:
		return u, err
	}
	u.GID, err = lookupGroup(group)
	return u, err
}

func lookupAccount(name string) (User, error) {
	account, err := user.Lookup(name)
	if err != nil {
		account, err = user.LookupId(name)
	}
	if err != nil {
		return User{}, fmt.Errorf("there is no user %q", name)
	}
	u := User{Name: account.Username}
	var uidErr, gidErr error
	u.UID, uidErr = parseID(account.Uid)
	u.GID, gidErr = parseID(account.Gid)
	return u, errors.Join(uidErr, gidErr)
}

func lookupGroup(name string) (gid int, err error) {
	if g, err := user.LookupGroup(name); err == nil {
		return parseID(g.Gid)
	}
	if gid, err = parseID(name); err != nil {
		return 0, fmt.Errorf("there is no group %q", name)
	}
	return gid, nil
}

// parseID leaves out the last number, which means none to the system.
func parseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == math.MaxUint32 {
		err = strconv.ErrRange
	}
	return int(n), err
}

// Choose returns whom to become when no user was named: the user who called
// sudo, else nobody, whichever is the first that can write in all of dirs, or else
// the first of them, with an error that says why that one cannot. Who is not root
// stays who it is: the zero User.
func Choose(dirs []string) (User, error) {
	all := candidates()
	if len(all) == 0 {
		return User{}, CanWrite(User{}, dirs...)
	}
	for _, u := range all {
		if CanWrite(u, dirs...) == nil {
			return u, nil
		}
	}
	return all[0], CanWrite(all[0], dirs...)
}

// candidates are nobody for root of a user namespace that has no other user, whose
// root is none outside of it.
func candidates() (all []User) {
	if os.Geteuid() != 0 {
		return nil // nobody else than root can become another
	}
	if u, ok := Caller(); ok {
		all = append(all, u)
	}
	if nobody, err := ParseUser("nobody"); err == nil {
		all = append(all, nobody)
	}
	if !isRoot() {
		all = slices.DeleteFunc(all, func(u User) bool { return canBecome(u) != nil })
	}
	return all
}

// Caller returns the user who called sudo(8), where root was got by that.
func Caller() (u User, ok bool) {
	uid, uidErr := parseID(os.Getenv("SUDO_UID"))
	gid, gidErr := parseID(os.Getenv("SUDO_GID"))
	if uidErr != nil || gidErr != nil || uid == 0 || os.Geteuid() != 0 {
		return User{}, false
	}
	return User{os.Getenv("SUDO_USER"), uid, gid}, true
}

// Environ returns this process's environment as a child of it is to have it after
// Drop: u's own HOME, USER and LOGNAME, and nothing that leads to the sessions of
// who called. Call it before Drop, as it reads the machine's list of users.
func Environ(u User) []string {
	if u == (User{}) || u.UID == os.Geteuid() {
		return os.Environ()
	}
	home, name := "/", u.Name
	if account, err := user.LookupId(strconv.Itoa(u.UID)); err == nil {
		home, name = account.HomeDir, account.Username
	}
	env := slices.DeleteFunc(os.Environ(), isCallers)
	env = append(env, "HOME="+home)
	if name != "" {
		env = append(env, "USER="+name, "LOGNAME="+name)
	}
	return env
}

// isCallers tells whether a variable is about the user who called.
func isCallers(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.Contains([]string{"HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK"}, name) ||
		strings.HasPrefix(name, "SUDO_") || strings.HasPrefix(name, "XDG_")
}
