package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/tunrec/tunrec/internal/probe"
)

// probed is tunrec up to where it would record; what it does then is an intruder's.
func probed() {
	if isHelper, _ := helperMain(os.Args); isHelper {
		return
	}
	app := newApp()
	app.Action = func(c *cli.Context) error {
		o, err := parseOptions(c)
		if err != nil {
			return err
		}
		if _, err := o.prepare(context.Background(), func() {}, newUI(true, false)); err != nil {
			return err
		}
		victim, err := strconv.Atoi(os.Getenv("VICTIM"))
		if err != nil {
			return err
		}
		target := probe.Target{Dir: os.Getenv("DIR"), Elsewhere: os.Getenv("ELSEWHERE"), Victim: victim}
		probe.Main(append(ownAttempts(&o), probe.Attempts(target)...), os.Stdout, probe.First(os.Getenv("FIRST")))
		os.Exit(0) // as it is, with nothing taken back
		return nil
	}
	fmt.Fprintln(os.Stderr, app.Run(os.Args))
	os.Exit(1)
}

// ownAttempts are what the recorder is there for.
func ownAttempts(o *options) []probe.Attempt {
	return []probe.Attempt{
		{Name: "make the next capture of its series", Do: func() error {
			if o.files.Series == nil {
				return probe.ErrNothing
			}
			_, err := o.files.Series.Next(time.Now()) // stays open, for other attempts
			return err
		}},
	}
}

// TestIntruder: what an intruder in the recorder can do is what SECURITY.md says, and all
// of it can be done where nothing is given up.
func TestIntruder(t *testing.T) {
	for _, test := range []struct {
		column string
		owner  int // of the directory
		args   string
	}{
		{"one file", nobody, "-o a.pcapng"},
		{"a series", nobody, "-o a.pcapng -b packets:1"},
		{"root's directory", 0, "-o a.pcapng -b packets:1"},
		{"", 0, "-o a.pcapng -b packets:1 --keep-root"},
	} {
		t.Run(test.column, func(t *testing.T) {
			mustIsolate(t)
			dir, elsewhere := dirOf(t, test.owner), dirOf(t, nobody)
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "other"), []byte("another's"), 0o644), os.Chmod(elsewhere, 0o777)); err != nil {
				t.Fatal(err)
			}
			victim := startVictim(t, test.column != "")
			got, err := probe.Observe(func(first int) *exec.Cmd {
				cmd := exec.Command("sh", "-c", "rm -f a.* a_*; exec tunrec-probe --ingest read "+test.args)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "DIR="+dir, "ELSEWHERE="+elsewhere, "VICTIM="+strconv.Itoa(victim), "FIRST="+strconv.Itoa(first))
				return cmd
			})
			if err != nil {
				t.Fatal(err)
			}
			if test.column == "" {
				for _, a := range got {
					if a.Outcome != probe.Yes {
						t.Errorf("%s: %s, though nothing was given up", a.Name, a.Outcome)
					}
				}
				return
			}
			want, err := probe.Column("../../SECURITY.md", test.column)
			if err != nil {
				t.Error(err)
			}
			for _, difference := range probe.Differences(got, want) {
				t.Error(difference)
			}
		})
	}
}

// startVictim starts a process that waits until the test ends.
func startVictim(t *testing.T, asNobody bool) (pid int) {
	t.Helper()
	cmd := exec.Command("cat")
	if asNobody {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	return cmd.Process.Pid
}
