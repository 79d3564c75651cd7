package torture

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	long      = flag.Bool("long", false, "run the long rows, too, and all with the counts of docs/RELIABILITY.md")
	race      = flag.Bool("detect", false, "build the recorder with the race detector")
	floodFor  = flag.Duration("flood", time.Minute, "how long the rows of a flood last")
	packetsOf = flag.Uint64("packets", 10_000_000, "how many packets the row many/packets takes")
	keep      = flag.Bool("keep", false, "keep the folder of every try that fails, and name it")
)

// tunrec is the path of the program that is tried.
var tunrec string

// patience bounds every wait. It is no measure of anything: what takes that long
// is broken.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, fmt.Errorf("the rows make devices and mounts in namespaces of their own: run them as root")
	}
	dir, err := os.MkdirTemp("", "torture-bin-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	// Whom a recorder becomes has to reach its own program, as a hook for example.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	tunrec = filepath.Join(dir, "tunrec")
	if err := build(tunrec); err != nil {
		return 1, err
	}
	// Rows mostly wait.
	// What is ignored here (nohup, a job in the background) would be in the recorder.
	for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["test.parallel"] {
		flag.Set("test.parallel", "8")
	}
	code = m.Run()
	table.print(os.Stdout)
	if given["test.run"] {
		return code, nil
	}
	return code, table.described("../docs/RELIABILITY.md")
}

func build(to string) error {
	args := []string{"build", "-o", to}
	env := append(os.Environ(), "CGO_ENABLED=0")
	if *race {
		args, env = append(args, "-race"), append(env, "CGO_ENABLED=1")
	}
	cmd := exec.Command(cmp.Or(os.Getenv("GO"), "go"), append(args, "./cmd/tunrec")...)
	cmd.Dir, cmd.Env = "..", env // with the product's own dependencies
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
