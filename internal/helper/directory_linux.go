package helper

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tunrec/tunrec/internal/privilege"
	"github.com/tunrec/tunrec/rotate"
)

const directoryKind = "directory"

// directoryConfig is what the helper has to know of the series.
type directoryConfig struct {
	Name, Suffix string
	Owner        rotate.Owner
}

// Directory is a process that stays root, with no more of it than to make, open and remove
// the files of one series in one directory (rotate.ServeDirectory).
type Directory struct {
	*process
}

// StartDirectory starts it, for the names and the owner of the series c. That it is ready,
// and confined, its first answer tells.
func StartDirectory(c rotate.Config) (*Directory, error) {
	name := rotate.Dir(c.Name)
	dir, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the directory of a series: %w", err)
	}
	defer dir.Close()
	p, err := start{
		kind: directoryKind, config: directoryConfig{c.Name, c.Suffix, c.Owner}, env: environ(),
		sockets: rotate.HelperLanes, files: []*os.File{dir}, stderr: os.Stderr,
	}.run()
	if err != nil {
		return nil, err
	}
	return &Directory{p}, nil
}

// environ is next to nothing: what is root needs no more of its caller's environment.
func environ() []string {
	if race, ok := os.LookupEnv("GORACE"); ok { // the race detector's
		return []string{"GORACE=" + race}
	}
	return []string{}
}

// Helper is the way to it.
func (d *Directory) Helper() *rotate.Helper { return rotate.NewHelper(d.sockets) }

// Ended is closed when the process has ended.
func (d *Directory) Ended() <-chan struct{} { return d.ended }

// serveDirectory is the helper.
func serveDirectory(config []byte) error {
	var c directoryConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("configuration of a helper: %w", err)
	}
	files := inherited(rotate.HelperLanes + 1)
	if err := c.confine(); err != nil {
		return err
	}
	sockets, dir := files[:rotate.HelperLanes], files[rotate.HelperLanes]
	return rotate.ServeDirectory(sockets, dir, rotate.Config{Name: c.Name, Suffix: c.Suffix, Owner: c.Owner})
}

// confine leaves root without a capability, who may make files in a directory of root's.
// To give them to others it has the two that this takes; Landlock and the filter of
// system calls leave it nothing else to use them on.
func (c directoryConfig) confine() error {
	var keep []int
	if c.Owner.Set && c.Owner.UID != 0 {
		keep = []int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE}
	}
	_, _, err := privilege.Drop(privilege.Config{
		Dirs: []string{rotate.Dir(c.Name)}, Calls: privilege.ServeFiles, Capabilities: keep,
	})
	return err
}
