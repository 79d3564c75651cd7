package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const pcaps = "../../testdata/pcaps"

// capinfosNames are Wireshark's names of the link types in the README.
var capinfosNames = map[string]string{
	"NULL (0)": "null", "ETHERNET (1)": "ether", "RAW (101)": "rawip", "LOOP (108)": "loop",
	"LINUX_SLL (113)": "linux-sll", "IPV4 (228)": "rawip4", "IPV6 (229)": "rawip6", "LINUX_SLL2 (276)": "linux-sll2",
}

type row struct{ file, link, packets, origin string }

// readmeTable is what README.md says of the captures.
func readmeTable(t *testing.T) (rows []row) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(pcaps, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	table, found := strings.CutPrefix(string(readme), readmeHead)
	if !found {
		t.Fatal("README.md does not begin as the generator writes it: run the generator again")
	}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) != 4 {
			t.Fatalf("README.md: %q has %d cells instead of 4", line, len(cells))
		}
		rows = append(rows, row{cells[0], cells[1], cells[2], cells[3]})
	}
	return rows
}

func TestReadmeListsWhatTheGeneratorMakes(t *testing.T) {
	rows := readmeTable(t)
	if len(rows) != len(captures) {
		t.Fatalf("README.md has %d captures, the generator %d", len(rows), len(captures))
	}
	for i, c := range captures {
		if want := (row{c.file, c.link.String(), rows[i].packets, c.origin}); rows[i] != want {
			t.Errorf("README.md says %v, the generator %v", rows[i], want)
		}
	}
}

func TestReadmeListsTheFolder(t *testing.T) {
	listed := map[string]bool{"README.md": true}
	for _, r := range readmeTable(t) {
		listed[r.file] = true
	}
	entries, err := os.ReadDir(pcaps)
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	for _, e := range entries {
		if !listed[e.Name()] {
			t.Errorf("%s is not in README.md", e.Name())
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	if bytes > 400_000 {
		t.Errorf("the folder has %d bytes, more than 400,000", bytes)
	}
}

func TestCapinfosAgreesWithReadme(t *testing.T) {
	if _, err := exec.LookPath("capinfos"); err != nil {
		t.Fatalf("this test needs capinfos (Debian package wireshark-common): %v", err)
	}
	for _, r := range readmeTable(t) {
		t.Run(r.file, func(t *testing.T) {
			encapsulation, packets, err := capinfos(filepath.Join(pcaps, r.file))
			if err != nil {
				t.Fatal(err)
			}
			if want := capinfosNames[r.link]; encapsulation != want {
				t.Errorf("link type: README.md says %s, capinfos %s", r.link, encapsulation)
			}
			if packets != r.packets {
				t.Errorf("packets: README.md says %s, capinfos %s", r.packets, packets)
			}
		})
	}
}

func capinfos(path string) (encapsulation, packets string, err error) {
	out, err := exec.Command("capinfos", "-T", "-r", "-m", "-E", "-c", path).Output()
	if err != nil {
		return "", "", fmt.Errorf("capinfos %s: %w", path, err)
	}
	fields, err := csv.NewReader(strings.NewReader(string(out))).Read()
	if err != nil || len(fields) != 3 {
		return "", "", fmt.Errorf("capinfos %s said %q: %v", path, out, err)
	}
	return fields[1], fields[2], nil
}
